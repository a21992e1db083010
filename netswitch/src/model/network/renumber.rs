//! The gateway got another address: by hand on the host end, or by `--bip`.

use ipnetwork::IpNetwork;

use super::{Pool, create};
use crate::{
    api::Error,
    model::{
        Id,
        address_pool::{check_subnet, subnet_of},
        changes::{Changes, Draft},
        state::State,
    },
};

/// Gives a network another gateway address and, with it, perhaps another subnet. Endpoints keep the
/// addresses they have until their containers start again.
pub fn renumber(state: &State, id: &Id, gateway: IpNetwork) -> Result<Changes, Error> {
    let network = state
        .networks
        .get(id)
        .ok_or_else(|| Error::not_found(format!("network {id} not found")))?;
    let subnet = subnet_of(gateway);
    let mut draft = Draft::new(state);
    let mut network = network.clone();
    let same_family = |pool: &&mut Pool| pool.subnet.is_ipv4() == subnet.is_ipv4();
    let Some(pool) = network.pools.iter_mut().find(same_family) else {
        return Err(Error::bad_request(format!(
            "network {} has no subnet of {gateway}'s kind",
            network.name
        )));
    };
    if pool.subnet == subnet && pool.gateway == gateway.ip() {
        return Ok(Changes::default());
    }
    if state.endpoint_with_address(id, gateway.ip()).is_some() {
        return Err(Error::forbidden("Address already in use"));
    }
    check_subnet(subnet)?;
    create::check_overlap(state, subnet, Some(id))?;
    if pool.subnet != subnet {
        pool.subnet = subnet;
        pool.last = None;
        pool.ip_range = pool
            .ip_range
            .filter(|range| subnet.contains(range.network()) && range.prefix() >= subnet.prefix());
        pool.auxiliary.retain(|_, address| subnet.contains(*address));
    }
    pool.gateway = gateway.ip();
    draft.put_network(network);
    Ok(draft.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    #[test]
    fn the_gateway_moves_and_endpoints_stay() {
        let mut world = World::new();
        world.run("web", &["bridge"]);
        let id = world.state.network("bridge").unwrap().id.clone();
        let changes = renumber(&world.state, &id, "192.168.10.1/24".parse().unwrap()).unwrap();
        world.apply(changes);
        let pool = &world.state.network("bridge").unwrap().pools[0];
        assert_eq!(
            (pool.subnet.to_string(), pool.gateway.to_string()),
            ("192.168.10.0/24".into(), "192.168.10.1".into())
        );
        assert_eq!(world.address("web", "bridge"), "172.17.0.2");
        world.run("db", &["bridge"]);
        assert_eq!(world.address("db", "bridge"), "192.168.10.2");
    }

    #[test]
    fn it_may_not_take_an_endpoints_address_or_anothers_subnet() {
        let mut world = World::new();
        world.run("web", &["bridge"]);
        world.network("mynet", &["192.168.0.0/16"]);
        let id = world.state.network("bridge").unwrap().id.clone();
        let text = |gateway: &str| {
            renumber(&world.state, &id, gateway.parse().unwrap())
                .unwrap_err()
                .message
        };
        assert_eq!(text("172.17.0.2/16"), "Address already in use");
        assert_eq!(
            text("192.168.10.1/24"),
            "Pool overlaps with other one on this address space"
        );
        assert_eq!(text("fd00::1/64"), "network bridge has no subnet of fd00::1/64's kind");
        assert!(
            renumber(&world.state, &id, "172.17.0.1/16".parse().unwrap())
                .unwrap()
                .is_empty()
        );
    }
}
