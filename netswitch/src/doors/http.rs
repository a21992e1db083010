//! The HTTP door: Docker Engine's paths for networks, and ours, on the API's unix socket.

use std::time::Duration;

use axum::{
    Router,
    body::to_bytes,
    extract::{ConnectInfo, Request as HttpRequest, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response as HttpResponse,
};
use serde_json::json;
use tokio::{net::UnixListener, sync::oneshot};

use super::Agent;
use super::asker::{Asked, Asker};
use super::call::Call;
use super::engine::{self, version::ApiVersion};
use super::reply::{complaint, page_not_found, reply, status, stream};
use crate::api::Request;
use crate::client::REQUEST_PATH;

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
    let door = door.into_make_service_with_connect_info::<Asker>();
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

async fn answer<A: Agent>(
    State(agent): State<A>,
    ConnectInfo(asker): ConnectInfo<Asker>,
    request: HttpRequest,
) -> HttpResponse {
    let agent = Asked { agent, asker };
    let (parts, body) = request.into_parts();
    let is_ours = parts.uri.path() == REQUEST_PATH;
    let limit = if is_ours { OWN_BODY_LIMIT } else { BODY_LIMIT };
    let mut response = match to_bytes(body, limit).await {
        Ok(body) => {
            let call = Call {
                method: parts.method,
                uri: parts.uri,
                headers: parts.headers,
                body,
            };
            if is_ours {
                ours(&agent, &call).await
            } else {
                engine::answer(&agent, &call)
                    .await
                    .unwrap_or_else(|error| complaint(&error))
            }
        }
        Err(_) => reply(
            StatusCode::PAYLOAD_TOO_LARGE,
            &json!({"message": format!("request body is larger than {limit} bytes")}),
        ),
    };
    let headers = response.headers_mut();
    if let Ok(version) = HeaderValue::from_str(&ApiVersion::NEWEST.to_string()) {
        headers.insert("Api-Version", version);
    }
    headers.insert("Docker-Experimental", HeaderValue::from_static("false"));
    headers.insert("Ostype", HeaderValue::from_static("linux"));
    headers.insert(
        header::SERVER,
        HeaderValue::from_static(concat!("netswitch/", env!("CARGO_PKG_VERSION"), " (linux)")),
    );
    response
}

/// netswitch's own door: a [`Request`] in, a [`Response`](crate::api::Response) or an [`Error`](crate::api::Error) out.
async fn ours<A: Agent>(agent: &A, call: &Call) -> HttpResponse {
    if call.method != Method::POST {
        return complaint(&page_not_found());
    }
    let answer = match call.own_request() {
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
