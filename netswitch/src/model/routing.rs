//! IPv6's routing rules as the maps hold them ([`netswitch_common::routing`]).

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netswitch_common::{
    address::Address,
    capacity,
    routing::{self, action},
};

/// A rule that chooses between routing tables (`ip-rule(8)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub priority: u32,
    pub from: Option<IpNetwork>,
    pub to: Option<IpNetwork>,
    /// Of the packet, and its mask.
    pub mark: (u32, u32),
    /// On which packets arrive.
    pub device: Option<String>,
    /// First and last.
    pub from_ports: [u16; 2],
    pub to_ports: [u16; 2],
    /// IP protocol number; 0: any.
    pub protocol: u8,
    /// Traffic class; 0: any.
    pub service: u8,
    pub is_inverted: bool,
    /// Its selector fits no packet that is passed on.
    pub takes_none: bool,
    /// `suppress_prefixlength`; negative: none.
    pub suppressed: i32,
    pub action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    None,
    /// By its number.
    Table(u32),
    /// With the first rule of this priority or a higher number.
    GoOnAt(u32),
    Unreachable,
    Prohibit,
    Blackhole,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            priority: 0,
            from: None,
            to: None,
            mark: (0, 0),
            device: None,
            from_ports: [0, u16::MAX],
            to_ports: [0, u16::MAX],
            protocol: 0,
            service: 0,
            is_inverted: false,
            takes_none: false,
            suppressed: -1,
            action: Action::None,
        }
    }
}

/// `RT_TABLE_MAIN` and `RT_TABLE_LOCAL`.
const MAIN: u32 = 254;
const LOCAL: u32 = 255;

/// What the maps hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// Numbers from 0. None: the kernel's look-up does what the rules say.
    pub rules: Vec<routing::Rule>,
    /// Of the tables of which rules suppress some.
    pub prefixes: Vec<(u32, IpNetwork)>,
}

/// Tables of which a rule suppresses some routes.
pub fn suppressed_tables(rules: &[Rule]) -> impl Iterator<Item = u32> {
    rules.iter().filter_map(|rule| match rule.action {
        Action::Table(table) if rule.suppressed >= 0 => Some(table),
        _ => None,
    })
}

/// Whether there are rules beside those that a kernel starts with.
fn are_usual(rules: &[Rule]) -> bool {
    let usual = [(0, LOCAL), (32_766, MAIN)].map(|(priority, table)| Rule {
        priority,
        action: Action::Table(table),
        ..Rule::default()
    });
    *rules == usual
}

/// The rules in the order in which they are asked. `prefixes` are those of the tables that [`suppressed_tables`] names,
/// `index` says the index of a device. More than the maps hold, or more than the kernel can be asked (before 6.5, if it matters),
/// are not compiled: nothing has a way then.
pub fn compile(
    rules: &[Rule],
    prefixes: Vec<(u32, IpNetwork)>,
    index: impl Fn(&str) -> Option<u32>,
    can_ask_tables: bool,
) -> Compiled {
    if are_usual(rules) || !can_ask_tables && suppressed_tables(rules).next().is_none() {
        return Compiled::default();
    }
    let is_too_much = rules.len() > capacity::RULES as usize / 2
        || prefixes.len() > capacity::PREFIXES as usize / 2
        || !can_ask_tables;
    if is_too_much {
        let nothing = Rule {
            action: Action::Unreachable,
            ..Rule::default()
        };
        return Compiled {
            rules: vec![value(&nothing, 0, &[], &index)],
            prefixes: Vec::new(),
        };
    }
    let left = (0..rules.len()).rev();
    Compiled {
        rules: rules
            .iter()
            .zip(left)
            .map(|(rule, left)| value(rule, left, rules, &index))
            .collect(),
        prefixes,
    }
}

fn value(rule: &Rule, left: usize, rules: &[Rule], index: impl Fn(&str) -> Option<u32>) -> routing::Rule {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let (action, target) = match rule.action {
        Action::None => (0, 0),
        Action::Table(table) => (action::TABLE, table),
        Action::GoOnAt(priority) => {
            let next = rules.iter().position(|rule| rule.priority >= priority);
            (action::GO_ON_AT, next.map_or(u32::MAX, number))
        }
        Action::Unreachable => (action::UNREACHABLE, 0),
        Action::Prohibit => (action::PROHIBIT, 0),
        Action::Blackhole => (action::BLACKHOLE, 0),
    };
    let under = |network: Option<IpNetwork>| {
        let address =
            |part: fn(&IpNetwork) -> IpAddr| network.as_ref().map_or(Address::NONE, |network| part(network).into());
        (address(IpNetwork::network), address(IpNetwork::mask))
    };
    let ((from, from_mask), (to, to_mask)) = (under(rule.from), under(rule.to));
    let mut value = routing::Rule {
        from,
        from_mask,
        to,
        to_mask,
        mark: rule.mark.0,
        mark_mask: rule.mark.1,
        // a device that is not there has no packets
        device: rule.device.as_ref().map_or(0, |name| index(name).unwrap_or(u32::MAX)),
        action,
        target,
        suppressed: rule.suppressed,
        from_ports: rule.from_ports,
        to_ports: rule.to_ports,
        protocol: rule.protocol,
        service: rule.service & 0xfc,
        inverted: rule.is_inverted.into(),
        _pad: 0,
        left: number(left),
    };
    if rule.takes_none {
        // nothing has a mark that its mask leaves out
        (value.mark, value.mark_mask) = (1, 0);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Vec<Rule> {
        let table = |priority, table| Rule {
            priority,
            action: Action::Table(table),
            ..Rule::default()
        };
        vec![table(0, LOCAL), table(32_766, MAIN)]
    }

    fn with(rule: Rule) -> Vec<Rule> {
        let mut rules = usual();
        rules.insert(1, rule);
        rules
    }

    fn compiled(rules: &[Rule], can_ask_tables: bool) -> Vec<routing::Rule> {
        let index = |name: &str| (name == "eth0").then_some(7);
        compile(rules, Vec::new(), index, can_ask_tables).rules
    }

    #[test]
    fn the_kernel_follows_usual_rules_and_where_it_can_others() {
        let suppressing = with(Rule {
            priority: 9,
            suppressed: 0,
            action: Action::Table(MAIN),
            ..Rule::default()
        });
        let choosing = with(Rule {
            priority: 9,
            action: Action::Table(77),
            ..Rule::default()
        });
        let rows = [
            (usual(), true, 0),
            (usual(), false, 0),
            (choosing.clone(), true, 3),
            (choosing, false, 0),
            (suppressing.clone(), true, 3),
        ];
        for (rules, can_ask_tables, count) in rows {
            assert_eq!(compiled(&rules, can_ask_tables).len(), count, "{rules:?}");
        }
        let refused = compiled(&suppressing, false);
        assert_eq!((refused.len(), refused[0].action), (1, action::UNREACHABLE));
    }

    #[test]
    fn rules_are_led_to_by_their_numbers() {
        let rules = compiled(
            &with(Rule {
                priority: 9,
                device: Some("gone".into()),
                action: Action::GoOnAt(32_766),
                ..Rule::default()
            }),
            true,
        );
        let shown: Vec<_> = rules
            .iter()
            .map(|rule| (rule.action, rule.target, rule.device, rule.left))
            .collect();
        assert_eq!(
            shown,
            [
                (action::TABLE, LOCAL, 0, 2),
                (action::GO_ON_AT, 2, u32::MAX, 1),
                (action::TABLE, MAIN, 0, 0)
            ]
        );
        let none = compiled(
            &with(Rule {
                priority: 9,
                takes_none: true,
                action: Action::Prohibit,
                ..Rule::default()
            }),
            true,
        );
        assert!(!none[1].takes(&routing::Asked::default()));
    }
}
