//! What the watcher tells.

use std::{
    process::Command,
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use netswitch::kernel::{
    Namespace,
    watch::{Event, watch},
};

use crate::world::{Real, World, net, network};

/// The next event of interest.
fn next<T>(events: &Receiver<Event>, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        let event = events
            .recv_timeout(Duration::from_secs(5))
            .unwrap_or_else(|_| panic!("{what} not seen"));
        if let Some(value) = pick(event) {
            return value;
        }
    }
}

#[test]
fn changes_are_watched() {
    Real::run(|world| {
        let (sender, events) = mpsc::channel();
        let watch = watch(move |event| sender.send(event).is_ok()).unwrap();
        let kernel = world.kernel();
        kernel.add_veth(&network("nsw0", "sw-1")).unwrap();
        let index = next(&events, "nsw0 added", |event| {
            if let Event::LinkAdded(link) = event
                && link.name == "nsw0"
            {
                Some(link.index)
            } else {
                None
            }
        });
        for up in [true, false, true] {
            kernel.set_up("nsw0", up).unwrap();
            next(&events, "nsw0 up or down", |event| {
                matches!(&event, Event::LinkChanged { before, after }
                    if after.index == index && before.up != up && after.up == up)
                .then_some(())
            });
        }
        let address = net("10.9.0.1/16");
        kernel.add_address(&Namespace::Host, "nsw0", address).unwrap();
        next(&events, "address", |event| {
            (event == Event::AddressAdded { index, address }).then_some(())
        });
        // another lifetime makes no new address
        let change = [
            "address",
            "change",
            "10.9.0.1/16",
            "dev",
            "nsw0",
            "valid_lft",
            "1000",
            "preferred_lft",
            "900",
        ];
        assert!(Command::new("ip").args(change).status().unwrap().success());
        kernel.delete_address("nsw0", address).unwrap();
        next(&events, "address gone", |event| {
            assert_ne!(event, Event::AddressAdded { index, address });
            (event == Event::AddressRemoved { index, address }).then_some(())
        });
        kernel.delete_link("nsw0").unwrap();
        next(&events, "nsw0 removed", |event| {
            matches!(event, Event::LinkRemoved(link) if link.name == "nsw0").then_some(())
        });
        drop(watch);
        // the thread ends and drops its sender
        while events.recv_timeout(Duration::from_secs(5)).is_ok() {}
        assert_eq!(events.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    });
}

#[test]
fn a_watcher_that_fell_behind_is_told_and_catches_up() {
    Real::run(|world| {
        let (sender, events) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        // delivers nothing until `go` is dropped
        let _watch = watch(move |event| {
            let _ = wait.recv();
            sender.send(event).is_ok()
        })
        .unwrap();
        let kernel = world.kernel();
        kernel.add_veth(&network("nsw0", "sw-1")).unwrap();
        // more than the socket's buffer holds, and the last link's news are lost
        kernel.set_up("nsw0", true).unwrap();
        for _ in 0..8000 {
            kernel
                .add_address(&Namespace::Host, "nsw0", net("10.9.0.1/16"))
                .unwrap();
            kernel.delete_address("nsw0", net("10.9.0.1/16")).unwrap();
        }
        kernel.add_veth(&network("nsw2", "sw-2")).unwrap();
        drop(go);
        next(&events, "missed", |event| (event == Event::Missed).then_some(()));
        next(&events, "nsw2 added", |event| {
            matches!(event, Event::LinkAdded(link) if link.name == "nsw2").then_some(())
        });
    });
}
