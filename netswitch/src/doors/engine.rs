//! Docker Engine's paths: the list of what its clients may ask.

mod answer;
pub mod body;
pub mod go_json;
mod swarm;
pub mod version;

use axum::{
    http::{HeaderName, Method, StatusCode, header},
    response::{IntoResponse as _, Response as HttpResponse},
};
use serde_json::{Value, json};

use self::version::ApiVersion;
use super::Agent;
use super::call::Call;
use super::reply::{later, page_not_found, reply};
use crate::api::{Error, Request, Response, WaitCondition};

type Result<T> = std::result::Result<T, Error>;

pub async fn answer<A: Agent>(agent: &A, call: &Call) -> Result<HttpResponse> {
    let (version, path) = call.path()?;
    let method = if call.method == Method::HEAD {
        "GET"
    } else {
        call.method.as_str()
    };
    if let Some(rest) = path.strip_prefix("networks/").filter(|rest| !rest.is_empty()) {
        return one_network(agent, call, version, method, rest).await;
    }
    let path: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (method, path.as_slice()) {
        ("GET", ["_ping"]) => Ok(ping()),
        ("GET", ["version"]) => Ok(reply(StatusCode::OK, &answer::version(&about(agent).await?))),
        ("GET", ["info"]) => Ok(reply(StatusCode::OK, &answer::info(&about(agent).await?))),
        ("GET", ["networks"]) => {
            let filters = call.filters()?;
            let Response::Networks(networks) = agent.ask(Request::NetworkList { filters }).await? else {
                return Err(unexpected());
            };
            let networks: Vec<_> = networks
                .into_iter()
                .map(|network| answer::network(network, version))
                .collect();
            Ok(reply(StatusCode::OK, &networks))
        }
        ("GET", ["containers", "json"]) => {
            let (all, filters) = (call.flag("all"), call.filters()?);
            let Response::Containers(containers) = agent.ask(Request::ContainerList { all, filters }).await? else {
                return Err(unexpected());
            };
            let containers: Vec<Value> = containers.iter().map(answer::container).collect();
            Ok(reply(StatusCode::OK, &containers))
        }
        ("GET", ["containers", container, "json"]) => {
            let container = (*container).to_owned();
            let Response::Container(container) = agent.ask(Request::ContainerInspect { container }).await? else {
                return Err(unexpected());
            };
            Ok(reply(StatusCode::OK, &container))
        }
        ("POST", ["containers", container, "wait"]) => {
            let condition = condition(call)?;
            let ended = agent.wait((*container).to_owned(), condition).await?;
            Ok(later(async { answer::ended(ended.await) }))
        }
        (method, path) => Err(swarm::refusal(method, path).unwrap_or_else(page_not_found)),
    }
}

/// Paths below `/networks/`. A network's name may hold slashes, so that it is all that stands before the last word.
async fn one_network<A: Agent>(
    agent: &A,
    call: &Call,
    version: ApiVersion,
    method: &str,
    rest: &str,
) -> Result<HttpResponse> {
    match (method, rest, rest.rsplit_once('/')) {
        ("GET", name, _) => {
            let network = name.to_owned();
            let Response::Network(network) = agent.ask(Request::NetworkInspect { network }).await? else {
                return Err(unexpected());
            };
            let scope = call.parameter("scope").filter(|scope| !scope.is_empty());
            if scope.is_some_and(|scope| scope != network.scope) {
                return Err(Error::not_found(format!("network {name} not found")));
            }
            Ok(reply(StatusCode::OK, &answer::network(*network, version)))
        }
        ("POST", "create", _) => {
            let create = call.json::<body::NetworkCreate>()?;
            let Response::Created { id, warnings } = agent.ask(create.request(version)).await? else {
                return Err(unexpected());
            };
            let answer = json!({"Id": id, "Warning": warnings.join("\n")});
            Ok(reply(StatusCode::CREATED, &answer))
        }
        ("POST", "prune", _) => {
            let filters = call.filters()?;
            let Response::Pruned(names) = agent.ask(Request::NetworkPrune { filters }).await? else {
                return Err(unexpected());
            };
            Ok(reply(StatusCode::OK, &json!({"NetworksDeleted": names})))
        }
        ("POST", _, Some((network, "connect"))) => {
            let connect = call.json::<body::NetworkConnect>()?;
            agent.ask(connect.request(network)?).await?;
            Ok(StatusCode::OK.into_response())
        }
        ("POST", _, Some((network, "disconnect"))) => {
            let disconnect = call.json::<body::NetworkDisconnect>()?;
            agent.ask(disconnect.request(network)).await?;
            Ok(StatusCode::OK.into_response())
        }
        ("DELETE", name, _) => {
            let network = name.to_owned();
            agent.ask(Request::NetworkRemove { network }).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(page_not_found()),
    }
}

/// What a client waits for.
fn condition(call: &Call) -> Result<WaitCondition> {
    match call.parameter("condition").unwrap_or_default().as_str() {
        "" | "not-running" => Ok(WaitCondition::NotRunning),
        "next-exit" => Ok(WaitCondition::NextExit),
        "removed" => Ok(WaitCondition::Removed),
        other => Err(Error::bad_request(format!("invalid condition: {other:?}"))),
    }
}

async fn about<A: Agent>(agent: &A) -> Result<crate::api::Version> {
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
        (HeaderName::from_static("builder-version"), ""),
        (HeaderName::from_static("swarm"), "inactive"),
    ];
    (headers, "OK").into_response()
}

fn unexpected() -> Error {
    Error::internal("the agent answered something else")
}
