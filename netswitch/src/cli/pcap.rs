//! `netswitch pcap`: what a container's interfaces hear and say, for tcpdump and Wireshark.

mod pcapng;

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nix::net::if_::if_nameindex;

use super::failure::{Failure, named};
use super::{interrupt, print};
use crate::api::{Request, Response};
use crate::client::Client;
use crate::kernel::{
    capture::{Capture, Frame},
    namespace::in_namespace,
};
use crate::plan::view::namespace;

/// Capture what the interfaces of a container hear and say
#[derive(Debug, Args)]
pub struct Pcap {
    /// Stop after that many packets
    #[arg(short, long, value_name = "int")]
    count: Option<u64>,
    /// Only this interface of the container (default: all but lo)
    #[arg(short, long, value_name = "string")]
    interface: Option<String>,
    /// Bytes of each packet that are kept
    #[arg(short, long, value_name = "bytes", default_value_t = 262_144, value_parser = clap::value_parser!(u32).range(14..=1_048_576))]
    snaplen: u32,
    /// File to write, in the format pcapng; "-" is standard output
    #[arg(short, long, value_name = "file", default_value = "-")]
    write: String,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// Between two looks for frames, and for whether there are interfaces still.
const PAUSE: Duration = Duration::from_millis(5);
const INTERVAL: Duration = Duration::from_millis(100);

impl Pcap {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        if self.write == "-" && io::stdout().is_terminal() {
            return Err(Failure::new(format!(
                "a capture is no text for a terminal\nhint: -w FILE, or netswitch pcap {} | tcpdump -n -r -",
                self.container
            )));
        }
        if !nix::unistd::Uid::effective().is_root() {
            return Err(Failure::new("netswitch pcap must run as root"));
        }
        let request = Request::ContainerNamespace {
            container: self.container.clone(),
        };
        let answer = client.ask(&request);
        let Response::Namespace(origin) = answer.map_err(|error| named(error, "container", &self.container))? else {
            return Err(Failure::unexpected());
        };
        in_namespace(&namespace(&origin), || self.capture()).map_err(|error| Failure::new(error.to_string()))?
    }

    /// In the container's namespace, until it is told to stop.
    fn capture(&self) -> Result<(), Failure> {
        let index = self.interface.as_deref().map(|name| self.index(name)).transpose()?;
        let longest = usize::try_from(self.snaplen).unwrap_or(usize::MAX);
        let problem = |error: io::Error| Failure::new(format!("capture of {}: {error}", self.container));
        let mut capture = Capture::open(index, longest).map_err(problem)?;
        let mut file = Writer::open(&self.write, self.snaplen)
            .map_err(|error| Failure::new(format!("{}: {error}", self.write)))?;
        interrupt::catch().map_err(problem)?;
        print::complain(&format!(
            "listening on {}, snapshot length {} bytes",
            self.container, self.snaplen
        ));
        let copied = self.copy(&mut capture, &mut file, index);
        let (_, lost) = capture.statistics().map_err(problem)?;
        match copied {
            // whoever reads has seen enough
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            result => result.map_err(|error| Failure::new(format!("{}: {error}", self.write)))?,
        }
        print::complain(&format!(
            "{} packets captured\n{lost} packets dropped by kernel: they came faster than they were written",
            file.packets
        ));
        Ok(())
    }

    fn copy(&self, capture: &mut Capture, file: &mut Writer, index: Option<u32>) -> io::Result<()> {
        file.introduce(index)?;
        let mut looked = Instant::now();
        while !interrupt::caught() && self.count.is_none_or(|count| file.packets < count) {
            if let Some(frame) = capture.oldest()? {
                file.add(&frame)?;
                continue;
            }
            // whoever reads along sees it now
            file.out.flush()?;
            if looked.elapsed() > INTERVAL {
                looked = Instant::now();
                if interfaces(index).is_empty() {
                    break;
                }
            }
            thread::sleep(PAUSE);
        }
        file.out.flush()
    }

    fn index(&self, name: &str) -> Result<u32, Failure> {
        nix::net::if_::if_nametoindex(name)
            .map_err(|_| Failure::new(format!("container {} has no interface {name}", self.container)))
    }
}

/// Interfaces that may be heard, by index.
fn interfaces(only: Option<u32>) -> Vec<(u32, String)> {
    let Ok(all) = if_nameindex() else { return Vec::new() };
    all.iter()
        .map(|found| (found.index(), found.name().to_string_lossy().into_owned()))
        .filter(|(index, name)| only.map_or(name != "lo", |only| only == *index))
        .collect()
}

/// A file that grows by packets.
struct Writer {
    out: BufWriter<File>,
    longest: u32,
    /// Indexes of interfaces in the order that the file knows them.
    interfaces: Vec<u32>,
    packets: u64,
}

impl Writer {
    fn open(path: &str, longest: u32) -> io::Result<Self> {
        let file = if path == "-" {
            print::output()?
        } else {
            File::create(path)?
        };
        Ok(Self {
            out: BufWriter::with_capacity(1 << 20, file),
            longest,
            interfaces: Vec::new(),
            packets: 0,
        })
    }

    /// A file is one only with the interfaces that there are.
    fn introduce(&mut self, only: Option<u32>) -> io::Result<()> {
        self.out.write_all(&pcapng::section())?;
        for (index, name) in interfaces(only) {
            self.number(index, || name)?;
        }
        Ok(())
    }

    fn add(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        let index = frame.interface;
        let number = self.number(index, || {
            let mut present = interfaces(Some(index));
            present
                .pop()
                .map_or_else(|| format!("interface {index}"), |(_, name)| name)
        })?;
        self.packets += 1;
        pcapng::packet(&mut self.out, number, frame)
    }

    /// The number that the file has for an interface.
    fn number(&mut self, index: u32, name: impl FnOnce() -> String) -> io::Result<u32> {
        let known = self.interfaces.iter().position(|known| *known == index);
        let number = known.unwrap_or(self.interfaces.len());
        if known.is_none() {
            self.interfaces.push(index);
            self.out.write_all(&pcapng::interface(&name(), self.longest))?;
        }
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }
}
