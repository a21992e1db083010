//! TCP and UDP between namespaces, every byte compared.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Namespace, PATIENCE, eventually};

const CHUNK: usize = 64 * 1024;
/// Between two chunks of a stream: about 60 MB/s, which leaves room for the other tests.
const PAUSE: Duration = Duration::from_millis(1);

/// A TCP connection that carries data until it is told to stop.
pub struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<(u64, u64)>,
    receiver: JoinHandle<(u64, u64)>,
}

impl Stream {
    /// From a client to a server at `address`, which is the server's own.
    pub fn start(client: &Namespace, server: &Namespace, address: IpAddr) -> Self {
        let (listener, address) = listen(server, address);
        let receiver = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            receive(stream)
        });
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let mut stream = client.enter(|| connect(address));
        let sender = thread::spawn(move || {
            let (mut hash, mut sent) = (DefaultHasher::new(), 0);
            for number in 0.. {
                let chunk = chunk(number);
                stream.write_all(&chunk).expect("the connection goes on");
                hash.write(&chunk);
                sent += CHUNK as u64;
                if told.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(PAUSE);
            }
            stream.shutdown(Shutdown::Write).expect("the connection ends well");
            (sent, hash.finish())
        });
        Self { stop, sender, receiver }
    }

    /// Ends it; panics unless everything sent was received.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("the sender");
        assert_eq!(
            self.receiver.join().expect("the receiver"),
            sent,
            "bytes and their hash"
        );
    }
}

/// Sends `size` bytes from client to server and as many back; panics unless they arrive as they were.
pub fn transfer(client: &Namespace, server: &Namespace, address: IpAddr, size: usize) {
    let (listener, address) = listen(server, address);
    both_ways(client, address, listener, size);
}

/// The same with a server that listens at one address and is dialled at another.
pub fn exchange(client: &Namespace, dialled: SocketAddr, server: &Namespace, own: SocketAddr, size: usize) {
    // a child that another test has just forked holds an earlier listener until it executes its program
    let listener = eventually("the address is free", || {
        server
            .enter(|| TcpListener::bind(own))
            .map_err(|error| error.to_string())
    });
    both_ways(client, dialled, listener, size);
}

fn both_ways(client: &Namespace, address: SocketAddr, listener: TcpListener, size: usize) {
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let writer = stream.try_clone().expect("a descriptor");
        let sender = thread::spawn(move || write(writer, size));
        (receive(stream), sender.join().expect("the server's sender"))
    });
    let stream = client.enter(|| connect(address));
    let writer = stream.try_clone().expect("a descriptor");
    let sender = thread::spawn(move || write(writer, size));
    let received = receive(stream);
    let sent = sender.join().expect("the client's sender");
    assert_eq!(
        (sent, received),
        server.join().expect("the server"),
        "bytes and their hash, both ways"
    );
}

/// Sends datagrams of a size and compares what an echo at the other end makes of them.
pub fn datagrams(client: &Namespace, server: &Namespace, address: IpAddr, size: usize, count: u32) {
    let socket = server.enter(|| UdpSocket::bind((address, 0)).expect("a socket"));
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let address = socket.local_addr().expect("an address");
    let echo = thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        for _ in 0..count {
            let (length, from) = socket.recv_from(&mut buffer).expect("a datagram");
            socket.send_to(&buffer[..length], from).expect("an answer");
        }
    });
    let any: IpAddr = if address.is_ipv4() {
        [0; 4].into()
    } else {
        [0_u16; 8].into()
    };
    let socket = client.enter(|| UdpSocket::bind((any, 0)).expect("a socket"));
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut buffer = vec![0; 65536];
    for number in 0..count {
        let datagram = &chunk(number.into())[..size];
        socket.send_to(datagram, address).expect("a datagram");
        let (length, from) = socket.recv_from(&mut buffer).expect("an answer");
        assert_eq!(from, address);
        assert!(buffer[..length] == *datagram, "datagram {number} came back changed");
    }
    echo.join().expect("the echo");
}

fn listen(server: &Namespace, address: IpAddr) -> (TcpListener, SocketAddr) {
    let listener = server.enter(|| TcpListener::bind((address, 0)).expect("a listener"));
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn write(mut stream: TcpStream, size: usize) -> (u64, u64) {
    let mut hash = DefaultHasher::new();
    for number in 0..size.div_ceil(CHUNK) as u64 {
        let chunk = chunk(number);
        stream.write_all(&chunk).expect("the connection goes on");
        hash.write(&chunk);
    }
    stream.shutdown(Shutdown::Write).expect("the connection ends well");
    ((size.div_ceil(CHUNK) * CHUNK) as u64, hash.finish())
}

/// Reads to the end: how much, and its hash.
fn receive(mut stream: TcpStream) -> (u64, u64) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (mut hash, mut received) = (DefaultHasher::new(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        // whole chunks, because the hash depends on how the bytes are cut
        let mut length = 0;
        while length < CHUNK {
            match stream.read(&mut buffer[length..]).expect("the connection goes on") {
                0 => break,
                more => length += more,
            }
        }
        if length == 0 {
            return (received, hash.finish());
        }
        hash.write(&buffer[..length]);
        received += length as u64;
    }
}

/// Bytes that differ from chunk to chunk.
fn chunk(number: u64) -> Vec<u8> {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_ne_bytes()
        });
        words.take(CHUNK / 8).flatten().collect()
    });
    let mut chunk = BYTES.clone();
    chunk[..8].copy_from_slice(&number.to_ne_bytes());
    chunk
}
