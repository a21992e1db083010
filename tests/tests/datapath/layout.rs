//! Map layouts: a wrong pin is refused and left as it is, a right one adopted, an older version
//! carried over.

use std::fs;

use aya::maps::{MapInfo, MapType};
use netswitch::datapath::{Datapath, Hook, MAPS, Options};
use netswitch_common::ABI_VERSION;
use tests::{
    fixture::entries,
    loaded::{Folder, in_a_namespace, in_the_world},
    maps,
};

/// Pins one map in place of a good one; opening must fail and touch nothing.
fn refuses(name: &str, kind: MapType, key: u32, value: u32, most: u32) {
    let folder = Folder::new();
    let pins = folder.maps(ABI_VERSION);
    fs::create_dir_all(&pins).expect("a folder on bpffs");
    maps::pin_new(&pins.join(name), kind, key, value, most);
    let before = maps::ids(&pins);

    let Err(error) = Datapath::open(&folder.options()) else {
        panic!("{name} was accepted");
    };
    let error = error.to_string();
    for word in [name.to_owned(), key.to_string(), value.to_string(), most.to_string()] {
        assert!(error.contains(&word), "{error:?} does not say {word}");
    }
    assert_eq!(maps::ids(&pins), before, "the pins are others than before");
}

#[test]
fn a_pin_with_a_wrong_key_size_is_refused_and_left() {
    refuses("ENDPOINTS", MapType::Hash, 8, 72, 65_536);
    refuses("SUBNETS", MapType::LpmTrie, 8, 8, 16_384);
}

#[test]
fn a_pin_with_a_wrong_value_size_is_refused_and_left() {
    refuses("ENDPOINTS", MapType::Hash, 4, 64, 65_536);
    refuses("PATHS", MapType::PerCpuArray, 4, 8, 7);
}

#[test]
fn a_pin_with_a_wrong_number_of_entries_is_refused_and_left() {
    refuses("PORTS", MapType::Hash, 12, 24, 128);
    refuses("NETWORKS", MapType::Array, 4, 104, 16);
}

#[test]
fn a_pin_of_a_wrong_kind_is_refused_and_left() {
    refuses("ENDPOINTS", MapType::LruHash, 4, 72, 65_536);
    refuses("DROPS", MapType::Hash, 8, 16, 131_072);
}

#[test]
fn every_map_is_pinned_as_its_layout_says() {
    in_a_namespace(|| {
        let folder = Folder::new();
        Datapath::open(&folder.options()).expect("the object loads");
        let pins = folder.maps(ABI_VERSION);
        let names: Vec<_> = maps::ids(&pins).into_keys().collect();
        let mut wanted: Vec<_> = MAPS.iter().map(|(name, _)| (*name).to_owned()).collect();
        wanted.sort();
        assert_eq!(names, wanted);
        for (name, layout) in MAPS {
            let info = MapInfo::from_pin(pins.join(name)).expect("a pinned map");
            let found = (info.key_size(), info.value_size(), info.max_entries());
            assert_eq!(found, (layout.key, layout.value, layout.entries), "{name}");
        }
    });
}

#[test]
fn opening_again_adopts_the_same_maps() {
    in_the_world(|loaded| {
        let options = loaded.options();
        let pins = loaded.maps();
        let before = (maps::ids(&pins), maps::dump_all(&pins));
        Datapath::open(&options).expect("what is there is taken over");
        assert!((maps::ids(&pins), maps::dump_all(&pins)) == before);
    });
}

#[test]
fn the_next_version_takes_every_entry_along() {
    in_the_world(|loaded| {
        let frame = tests::rows::forward::rows().swap_remove(0);
        loaded
            .datapath
            .run(Hook::Endpoint, frame.index, &frame.frame, 1)
            .expect("it runs");
        let before = maps::dump_all(&loaded.maps());
        let next = Options {
            abi_version: ABI_VERSION + 1,
            ..loaded.options()
        };
        let mut datapath = Datapath::open(&next).expect("the next version takes over");
        assert!(!loaded.maps().exists(), "the old folder is still there");
        let after = maps::dump_all(&next.bpffs.join(format!("v{}", next.abi_version)));
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        for (name, map) in before.iter().filter(|(name, _)| *name != "DECISION") {
            assert!(after[name] == *map, "{name} has changed");
        }
        // and its own tables write to the new maps
        for entry in entries::all() {
            datapath.tables().write(&entry).expect("an entry of the fixture");
        }
        assert_eq!(
            datapath
                .explain(Hook::Endpoint, frame.index, &frame.frame)
                .expect("it runs")
                .decision
                .verdict,
            frame.decision.verdict
        );
    });
}
