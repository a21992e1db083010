//! What goes out of the door: JSON, streams of it, and errors with their status.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response as HttpResponse},
};
use hyper::body::Frame;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::api::{Error, ErrorKind};

pub fn reply<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> HttpResponse {
    // The engine ends each answer with a line break.
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    (status, [(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

/// The status at once, for clients that go on when they have it; the value once it is there.
pub fn later(value: impl Future<Output = Value> + Send + 'static) -> HttpResponse {
    let (line, lines) = mpsc::channel(1);
    tokio::spawn(async move {
        let value = tokio::select! {
            value = value => value,
            () = line.closed() => return,
        };
        // a client that has gone since wants none
        let _ = line.send(format!("{value}\n").into()).await;
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::new(Lines(lines))).into_response()
}

/// Lines of JSON as they come.
pub fn stream(lines: mpsc::Receiver<Bytes>) -> HttpResponse {
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::new(Lines(lines)),
    )
        .into_response()
}

struct Lines(mpsc::Receiver<Bytes>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

/// An error in the engine's form.
pub fn complaint(error: &Error) -> HttpResponse {
    reply(status(error.kind), &json!({"message": error.message}))
}

pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::BadRequest => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

pub fn page_not_found() -> Error {
    Error::not_found("page not found")
}
