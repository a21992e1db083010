//! Builds the eBPF programs and hands their object to the agent.

fn main() -> std::process::ExitCode {
    toolchain::script::run()
}
