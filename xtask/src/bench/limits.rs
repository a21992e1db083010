//! How exactly a container is held to a rate.

use anyhow::Result;

use super::peer::Site;
use super::traffic;
use crate::world::process;

/// What the client may send, and receive.
const RATE: &str = "100mbit";
const GIGABITS: f64 = 0.1;

/// How far TCP between client and server is from the client's rate, in percent of it: the worse direction's.
pub fn deviation(site: &mut Site) -> Result<f64> {
    let mut worst = 0.0_f64;
    for back in [false, true] {
        // anew, so that nothing of it is used
        set(site, "none")?;
        set(site, RATE)?;
        let received = traffic::long_tcp_stream(&site.route(), back)?;
        worst = worst.max((received / GIGABITS - 1.0).abs() * 100.0);
    }
    set(site, "none")?;
    Ok(worst)
}

fn set(site: &mut Site, rate: &str) -> Result<()> {
    let mut update = site.agent()?.netswitch();
    process::check(update.args(["update", "--rate", rate, "client"])).map(drop)
}
