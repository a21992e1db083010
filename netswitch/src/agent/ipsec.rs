//! The host's `IPsec` policies: what they cover does not pass.

use super::core::Core;
use crate::api::Finding;
use crate::model::ipsec::{Compiled, Side, compile, stop_everything};

/// Prefixes that are named.
const SHOWN: usize = 8;

impl Core {
    /// The programs compare packets with the policies that the host has now. Policies that cannot be read stop
    /// everything.
    pub fn refresh_ipsec(&mut self) {
        let policies = self.kernel.security_policies().unwrap_or_else(|error| {
            tracing::error!(%error, "nothing passes between containers and the world: IPsec policies cannot be read");
            stop_everything()
        });
        let compiled = compile(&policies);
        if self.ipsec.as_ref() == Some(&compiled) {
            return;
        }
        if let Err(error) = self.datapath.tables().set_ipsec(&compiled) {
            tracing::error!(%error, "nothing passes between containers and the world: IPsec policies are not written");
            if let Err(error) = self.datapath.tables().set_ipsec(&compile(&stop_everything())) {
                tracing::error!(%error, "IPsec policies of the host are not heeded");
            }
            self.ipsec = None;
            return;
        }
        if self.ipsec.replace(compiled).is_some() || !policies.is_empty() {
            tracing::info!(policies = policies.len(), "IPsec policies of the host");
        }
        self.refresh_host_protocols();
    }

    /// What `doctor` tells of them; nothing where there are none.
    pub fn ipsec_found(&mut self) -> Option<Finding> {
        self.refresh_ipsec();
        let compiled = self
            .ipsec
            .as_ref()
            .filter(|compiled| **compiled != Compiled::default())?;
        let prefixes: Vec<String> = compiled
            .lists
            .iter()
            .map(|(side, prefix, _)| match side {
                Side::Out => format!("to {prefix}"),
                Side::Forward => format!("from {prefix}"),
            })
            .collect();
        let more = prefixes.len().saturating_sub(SHOWN);
        let mut message = format!(
            "the host has IPsec policies: what they cover is neither encrypted nor let through for containers \
             (ipsec-policy), it concerns packets {}",
            prefixes[..prefixes.len() - more].join(", ")
        );
        if more > 0 {
            message.push_str(&format!(" and {more} more"));
        }
        Some(Finding {
            subject: "ipsec".to_owned(),
            ok: true,
            message,
        })
    }
}
