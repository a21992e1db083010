//! The HTTP door: Docker Engine's paths for networks, and ours, on the API's unix socket.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{Request as HttpRequest, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response as HttpResponse},
};
use hyper::body::Frame;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    net::UnixListener,
    sync::{mpsc, oneshot},
};

use super::{Agent, engine};
use crate::api::{Error, ErrorKind, Request, Response};
use crate::client::REQUEST_PATH;

/// Docker Engine API that is spoken, newest and oldest.
pub const API_VERSION: &str = "1.41";
pub const MINIMUM_API_VERSION: &str = "1.24";

/// Bytes of the largest request body.
const BODY_LIMIT: usize = 1024 * 1024;
/// Of netswitch's own requests: a policy's file comes whole.
const OWN_BODY_LIMIT: usize = 64 * BODY_LIMIT;

/// How long a request may take to end once the door closes: one that is half sent never does.
const GRACE: Duration = Duration::from_secs(5);

/// Answers until `shutdown` is ready, then finishes what it has begun, within [`GRACE`].
pub async fn serve<A: Agent>(
    listener: UnixListener,
    agent: A,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let door = Router::new().fallback(answer::<A>).with_state(agent);
    let (close, closing) = oneshot::channel();
    let serving = axum::serve(listener, door).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = close.send(());
    });
    let patience = async {
        let _ = closing.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served,
        () = patience => Ok(()),
    }
}

async fn answer<A: Agent>(State(agent): State<A>, request: HttpRequest) -> HttpResponse {
    let (parts, body) = request.into_parts();
    let limit = if parts.uri.path() == REQUEST_PATH {
        OWN_BODY_LIMIT
    } else {
        BODY_LIMIT
    };
    let mut response = match to_bytes(body, limit).await {
        Ok(body) => {
            let call = Call {
                method: parts.method,
                uri: parts.uri,
                headers: parts.headers,
                body,
            };
            match call.path() {
                Ok(path) if path == ["netswitch", "v1", "request"] => call.ours(&agent).await,
                Ok(path) => call
                    .engine(&agent, &path)
                    .await
                    .unwrap_or_else(|error| complaint(&error)),
                Err(error) => complaint(&error),
            }
        }
        Err(_) => reply(
            StatusCode::PAYLOAD_TOO_LARGE,
            &json!({"message": format!("request body is larger than {limit} bytes")}),
        ),
    };
    let headers = response.headers_mut();
    headers.insert("Api-Version", HeaderValue::from_static(API_VERSION));
    headers.insert("Docker-Experimental", HeaderValue::from_static("false"));
    headers.insert("Ostype", HeaderValue::from_static("linux"));
    headers.insert(
        header::SERVER,
        HeaderValue::from_static(concat!("netswitch/", env!("CARGO_PKG_VERSION"), " (linux)")),
    );
    response
}

/// One HTTP request, its body read.
struct Call {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// Segments of the path, without the API's version.
    fn path(&self) -> Result<Vec<String>, Error> {
        let mut segments: Vec<String> = self
            .uri
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect();
        let version = segments
            .first()
            .and_then(|first| first.strip_prefix('v'))
            .and_then(|text| Some((text.to_owned(), parse_version(text)?)));
        if let Some((text, version)) = version {
            check_version(&text, version)?;
            segments.remove(0);
        }
        Ok(segments)
    }

    /// netswitch's own door: a [`Request`] in, a [`Response`] or an [`Error`] out.
    async fn ours<A: Agent>(&self, agent: &A) -> HttpResponse {
        if self.method != Method::POST {
            return complaint(&page_not_found());
        }
        let answer = match self.json::<Request>() {
            Ok(Request::Monitor(filter)) => match agent.monitor(filter).await {
                Ok(lines) => return stream(lines),
                Err(error) => Err(error),
            },
            Ok(request) => agent.ask(request).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(response) => reply(StatusCode::OK, &response),
            Err(error) => reply(status(error.kind), &error),
        }
    }

    /// Docker Engine's paths: the list of what its clients may ask.
    async fn engine<A: Agent>(&self, agent: &A, path: &[String]) -> Result<HttpResponse, Error> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let method = if self.method == Method::HEAD {
            "GET"
        } else {
            self.method.as_str()
        };
        match (method, path.as_slice()) {
            ("GET", ["_ping"]) => Ok(ping()),
            ("GET", ["version"]) => {
                let version = version(agent).await?;
                Ok(reply(StatusCode::OK, &engine::version(&version)))
            }
            ("GET", ["info"]) => {
                let version = version(agent).await?;
                Ok(reply(StatusCode::OK, &engine::info(&version)))
            }
            ("GET", ["networks"]) => {
                let filters = self.filters()?;
                let Response::Networks(networks) = agent.ask(Request::NetworkList { filters }).await? else {
                    return Err(unexpected());
                };
                Ok(reply(StatusCode::OK, &networks))
            }
            ("GET", ["networks", network]) => {
                let network = (*network).to_owned();
                let Response::Network(network) = agent.ask(Request::NetworkInspect { network }).await? else {
                    return Err(unexpected());
                };
                Ok(reply(StatusCode::OK, &network))
            }
            ("POST", ["networks", "create"]) => {
                let create = self.json::<engine::NetworkCreate>()?;
                let Response::Created { id, warnings } = agent.ask(Request::NetworkCreate(create.into())).await? else {
                    return Err(unexpected());
                };
                Ok(reply(
                    StatusCode::CREATED,
                    &json!({"Id": id, "Warning": warnings.join("\n")}),
                ))
            }
            ("POST", ["networks", "prune"]) => {
                let filters = self.filters()?;
                let Response::Pruned(names) = agent.ask(Request::NetworkPrune { filters }).await? else {
                    return Err(unexpected());
                };
                Ok(reply(StatusCode::OK, &json!({"NetworksDeleted": names})))
            }
            ("POST", ["networks", network, "connect"]) => {
                let connect = self.json::<engine::NetworkConnect>()?;
                agent.ask(connect.request(network)?).await?;
                Ok(StatusCode::OK.into_response())
            }
            ("POST", ["networks", network, "disconnect"]) => {
                let disconnect = self.json::<engine::NetworkDisconnect>()?;
                agent.ask(disconnect.request(network)).await?;
                Ok(StatusCode::OK.into_response())
            }
            ("DELETE", ["networks", network]) => {
                let network = (*network).to_owned();
                agent.ask(Request::NetworkRemove { network }).await?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            ("GET", ["containers", "json"]) => {
                let (all, filters) = (self.flag("all"), self.filters()?);
                let Response::Containers(containers) = agent.ask(Request::ContainerList { all, filters }).await? else {
                    return Err(unexpected());
                };
                let containers: Vec<Value> = containers.iter().map(engine::container).collect();
                Ok(reply(StatusCode::OK, &containers))
            }
            ("GET", ["containers", container, "json"]) => {
                let container = (*container).to_owned();
                let Response::Container(container) = agent.ask(Request::ContainerInspect { container }).await? else {
                    return Err(unexpected());
                };
                Ok(reply(StatusCode::OK, &container))
            }
            _ => Err(page_not_found()),
        }
    }

    /// The body, in the engine's words where it is none.
    fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let kind = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Error::bad_request(format!(
                "Content-Type specified ({kind}) must be 'application/json'"
            )));
        }
        if self.body.is_empty() {
            return Err(Error::bad_request("got EOF while reading request body"));
        }
        serde_json::from_slice(&self.body).map_err(|error| Error::bad_request(format!("invalid JSON: {error}")))
    }

    fn filters(&self) -> Result<crate::api::Filters, Error> {
        self.parameter("filters")
            .map_or_else(|| Ok(crate::api::Filters::new()), |text| engine::filters(&text))
    }

    /// The engine's truth: anything but these.
    fn flag(&self, name: &str) -> bool {
        self.parameter(name)
            .is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none"))
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.uri.query()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| decode(&value.replace('+', " ")))
        })
    }
}

async fn version<A: Agent>(agent: &A) -> Result<crate::api::Version, Error> {
    let Response::Version(version) = agent.ask(Request::Version).await? else {
        return Err(unexpected());
    };
    Ok(version)
}

fn ping() -> HttpResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::PRAGMA, "no-cache"),
        (header::HeaderName::from_static("builder-version"), ""),
    ];
    (headers, "OK").into_response()
}

fn reply<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> HttpResponse {
    // The engine ends each answer with a line break.
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    (status, [(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

/// Lines of JSON as they come.
fn stream(lines: mpsc::Receiver<Bytes>) -> HttpResponse {
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

fn complaint(error: &Error) -> HttpResponse {
    reply(status(error.kind), &json!({"message": error.message}))
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::BadRequest => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn page_not_found() -> Error {
    Error::not_found("page not found")
}

fn unexpected() -> Error {
    Error::internal("the agent answered something else")
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn check_version(text: &str, version: (u32, u32)) -> Result<(), Error> {
    if Some(version) > parse_version(API_VERSION) {
        return Err(Error::bad_request(format!(
            "client version {text} is too new. Maximum supported API version is {API_VERSION}"
        )));
    }
    if Some(version) < parse_version(MINIMUM_API_VERSION) {
        return Err(Error::bad_request(format!(
            "client version {text} is too old. Minimum supported API version is {MINIMUM_API_VERSION}, \
             please upgrade your client to a newer version"
        )));
    }
    Ok(())
}

/// Undoes `%2F`; what is no such escape stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
