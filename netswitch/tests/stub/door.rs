//! A door in front of the stub.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use netswitch::doors::http;

use super::Stub;

/// A door on a socket of its own; closed when dropped.
pub struct Door {
    stub: Stub,
    pub socket: PathBuf,
    close: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    pub fn open() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let socket = std::env::temp_dir().join(format!("netswitch-door-{}-{number}.sock", std::process::id()));
        let stub = Stub::default();
        let (close, closed) = tokio::sync::oneshot::channel();
        // Bound here, so that the first request finds it.
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let agent = stub.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                let closed = async {
                    let _ = closed.await;
                };
                http::serve(listener, agent, closed).await.unwrap();
            });
        });
        Self {
            stub,
            socket,
            close: Some(close),
            thread: Some(thread),
        }
    }

    /// Status, headers and body of one request.
    pub fn send(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.trim_end().to_owned())
    }

    /// What the agent was asked, in its debug form.
    pub fn last_asked(&self) -> String {
        self.stub.asked.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.close.take());
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.socket);
    }
}
