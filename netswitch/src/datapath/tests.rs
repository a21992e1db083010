//! The data path in the kernel: loading, pins, upgrade. Needs root and a mounted bpffs.

use super::*;

#[test]
fn loads() {
    let dir = PathBuf::from(format!("/sys/fs/bpf/dp-{}", std::process::id()));
    let options = Options {
        bpffs: dir.clone(),
        abi_version: 1,
        log_level: 0,
    };
    let result = Datapath::open(&options);
    if let Err(e) = &result {
        println!("{e}");
    }
    let dp = result.unwrap();
    for p in ["from_endpoint", "explain_endpoint"] {
        let i = dp.program(p).unwrap().info().unwrap();
        println!(
            "{p} xlated {:?} jited {:?} verified {:?}",
            i.size_translated(),
            i.size_jitted(),
            i.verified_instruction_count()
        );
    }
    println!("{:?}", dp.explain(1, &[0u8; 64]).unwrap());
    println!("{:?}", dp.run(1, &[0u8; 64], 1).unwrap().verdict);
    drop(dp);
    Datapath::purge(&dir).unwrap();
}
