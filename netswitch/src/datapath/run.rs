//! Running the programs on a frame of our own (`BPF_PROG_TEST_RUN`): `netswitch why`, tests, benchmarks.

use aya::{TestRun as _, TestRunOptions, maps::PerCpuArray};
use netswitch_common::verdict::Explanation;

use super::{Datapath, Error, Hook, Result, loaded, program_error, program_mut, xdp};

/// `struct __sk_buff`: its size, and the offsets of the fields used.
const CONTEXT: usize = 192;
const MARK: usize = 8;
const IFINDEX: usize = 40;
/// What a frame may grow by.
const ROOM: usize = 512;

/// What a hook's program did with a frame. A redirect is decided (verdict 7) and not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// A TC action: 2 is a drop, 7 a redirect.
    pub verdict: i32,
    pub frame: Vec<u8>,
    pub mark: u32,
    /// Per run.
    pub nanoseconds: u32,
}

impl Datapath {
    /// What would become of a frame from the device with this index; changes nothing.
    pub fn explain(&mut self, hook: Hook, index: u32, frame: &[u8]) -> Result<Explanation> {
        let name = hook.explanation().ok_or(Error::Missing("explanation"))?;
        loaded(program_mut(&mut self.ebpf, name)?.load(), name)?;
        let cpu = self.test(name, index, frame, 1)?.verdict;
        let map = self.ebpf.map("DECISION").ok_or(Error::Missing("DECISION"))?;
        let explanations = PerCpuArray::<_, Explanation>::try_from(map)
            .and_then(|map| map.get(&0, 0))
            .map_err(Error::map("DECISION"))?;
        let explanation = usize::try_from(cpu).ok().and_then(|cpu| explanations.get(cpu));
        explanation.copied().ok_or(Error::Missing("explanation"))
    }

    /// Runs the hook's program on a frame from the device with this index, counters, flows and copies to
    /// other members included.
    pub fn run(&self, hook: Hook, index: u32, frame: &[u8], repeat: u32) -> Result<Ran> {
        self.test(hook.program(), index, frame, repeat)
    }

    /// The same with the XDP guard, on a frame from the loopback device; the verdict is XDP's.
    pub fn run_guard(&mut self, frame: &[u8]) -> Result<Ran> {
        let mut frame_after = vec![0; frame.len() + ROOM];
        let result = xdp::guard(&mut self.ebpf)?
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut frame_after),
                repeat: 1,
                ..TestRunOptions::default()
            })
            .map_err(program_error(xdp::GUARD))?;
        frame_after.truncate(result.data_size_out as usize);
        Ok(Ran {
            verdict: result.return_value.cast_signed(),
            frame: frame_after,
            mark: 0,
            nanoseconds: u32::try_from(result.duration.as_nanos()).unwrap_or(u32::MAX),
        })
    }

    fn test(&self, program: &'static str, index: u32, frame: &[u8], repeat: u32) -> Result<Ran> {
        let mut context = [0; CONTEXT];
        context[IFINDEX..IFINDEX + 4].copy_from_slice(&index.to_ne_bytes());
        context[MARK..MARK + 4].copy_from_slice(&u32::MAX.to_ne_bytes()); // to see that it is cleared
        let mut context_after = [0; CONTEXT];
        let mut frame_after = vec![0; frame.len() + ROOM];
        let result = self
            .program(program)?
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut frame_after),
                ctx_in: Some(&context),
                ctx_out: Some(&mut context_after),
                repeat,
                ..TestRunOptions::default()
            })
            .map_err(program_error(program))?;
        frame_after.truncate(result.data_size_out as usize);
        let [a, b, c, d] = [MARK, MARK + 1, MARK + 2, MARK + 3].map(|offset| context_after[offset]);
        Ok(Ran {
            verdict: result.return_value.cast_signed(),
            frame: frame_after,
            mark: u32::from_ne_bytes([a, b, c, d]),
            nanoseconds: u32::try_from(result.duration.as_nanos()).unwrap_or(u32::MAX),
        })
    }
}
