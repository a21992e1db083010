//! What the programs log (aya-log), passed on to `tracing`.

use aya::Ebpf;
use aya_log::EbpfLogger;

use super::Error;

pub(super) struct Log(EbpfLogger<ToTracing>);

impl Log {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        EbpfLogger::init_with_logger(ebpf, ToTracing)
            .map(Self)
            .map_err(|error| Error::Log(error.to_string()))
    }

    pub(super) fn flush(&mut self) {
        self.0.flush();
    }
}

struct ToTracing;

impl log::Log for ToTracing {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        tracing::debug!(target: "netswitch_bpf", "{}", record.args());
    }

    fn flush(&self) {}
}
