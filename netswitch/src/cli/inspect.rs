//! `netswitch inspect`: containers and networks as JSON.

use clap::Args;
use serde_json::Value;

use super::failure::{Failure, missing};
use super::network::shape;
use super::print;
use super::template::value::Shape;
use super::template::{Template, TemplateError};
use crate::api::{NetworkResource, Request, Response};
use crate::client::Client;

/// Return low-level information on containers and networks
#[derive(Debug, Args)]
pub struct Inspect {
    /// Format the output using the given Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Return JSON for specified type
    #[arg(long = "type", value_name = "string", default_value = "")]
    kind: String,
    #[arg(value_name = "NAME|ID [NAME|ID...]", required = true)]
    names: Vec<String>,
}

impl Inspect {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let container = |container: &str| Request::ContainerInspect {
            container: container.to_owned(),
        };
        let network = |network: &str| Request::NetworkInspect {
            network: network.to_owned(),
        };
        let kinds: &[&dyn Fn(&str) -> Request] = match self.kind.as_str() {
            "" => &[&container, &network],
            "container" => &[&container],
            "network" => &[&network],
            other => return Err(Failure::new(format!("{other:?} is not a valid value for --type"))),
        };
        let object = if self.kind.is_empty() { "object" } else { &self.kind };
        show(self.format.as_deref(), &self.names, |name| {
            for kind in kinds {
                match client.ask(&kind(name)) {
                    Err(error) if missing(&error) => {}
                    answer => return found(answer?),
                }
            }
            Err(Failure::new(format!("Error: No such {object}: {name}")))
        })
    }
}

fn found(answer: Response) -> Result<Found, Failure> {
    if let Response::Container(json) = answer {
        Ok(Found::plain(json))
    } else if let Response::Network(network) = answer {
        Found::network(&network)
    } else {
        Err(Failure::unexpected())
    }
}

/// An object, and what it is in Go.
pub struct Found {
    json: Value,
    shape: Shape,
}

impl Found {
    pub const fn plain(json: Value) -> Self {
        Self {
            json,
            shape: Shape::Any,
        }
    }

    pub fn network(network: &NetworkResource) -> Result<Self, Failure> {
        Ok(Self {
            json: serde_json::to_value(network).map_err(|error| Failure::new(error.to_string()))?,
            shape: shape::NETWORK,
        })
    }
}

/// Prints what was found, then what was not.
pub fn show(
    format: Option<&str>,
    names: &[String],
    inspect: impl Fn(&str) -> Result<Found, Failure>,
) -> Result<(), Failure> {
    let format = Inspection::parse(format).map_err(|error| Failure {
        message: error.to_string(),
        status: 64,
    })?;
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for name in names {
        match inspect(name).and_then(|object| Ok(format.object(object)?)) {
            Ok(object) => found.push(object),
            Err(failure) => errors.push(failure.message),
        }
    }
    print::text(&format.join(&found));
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(errors.join("\n")))
    }
}

/// How objects are shown.
enum Inspection {
    /// An array with Docker's indentation.
    Indented,
    /// An array on one line: `json`.
    Compact,
    /// A line for each object.
    Lines(Template),
}

impl Inspection {
    fn parse(format: Option<&str>) -> Result<Self, TemplateError> {
        match format.unwrap_or_default() {
            "" => Ok(Self::Indented),
            "json" => Ok(Self::Compact),
            template => Template::parse(template).map(Self::Lines),
        }
    }

    fn object(&self, mut object: Found) -> Result<Value, TemplateError> {
        match self {
            Self::Indented | Self::Compact => {
                // the command line looks as Docker 20.10's, which has no such field
                if let Value::Object(fields) = &mut object.json {
                    fields.retain(|name, _| name != "EnableIPv4");
                }
                Ok(object.json)
            }
            // as in Docker, names of JSON's do where those of the structure do not
            Self::Lines(template) => template
                .render_value(&object.shape.of(&object.json))
                .or_else(|_| template.render(&object.json))
                .map(Value::from),
        }
    }

    fn join(&self, objects: &[Value]) -> String {
        match self {
            Self::Indented => print::indented(&objects) + "\n",
            Self::Compact => Value::from(objects).to_string() + "\n",
            // Docker prints an empty line where it found nothing.
            Self::Lines(_) if objects.is_empty() => "\n".to_owned(),
            Self::Lines(_) => {
                let lines: Vec<&str> = objects.iter().filter_map(Value::as_str).collect();
                lines.join(
                    "
",
                ) + "
"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inspect_keeps_the_order_of_keys_and_indents_by_four() {
        let inspected = |format, objects: &[Value]| {
            let format = Inspection::parse(format).unwrap();
            let object = |json: &Value| format.object(Found::plain(json.clone())).unwrap();
            let objects: Vec<Value> = objects.iter().map(object).collect();
            format.join(&objects)
        };
        let objects = [json!({"Name": "b", "Id": 1, "Options": {}})];
        let text = "[\n    {\n        \"Name\": \"b\",\n        \"Id\": 1,\n        \"Options\": {}\n    }\n]\n";
        assert_eq!(inspected(None, &objects), text);
        assert_eq!(
            inspected(Some("json"), &objects),
            "[{\"Name\":\"b\",\"Id\":1,\"Options\":{}}]\n"
        );
        assert_eq!(inspected(Some("{{.Id}}"), &objects), "1\n");
        assert_eq!(inspected(None, &[]), "[]\n");
        assert_eq!(inspected(Some("{{.Id}}"), &[]), "\n");
    }

    #[test]
    fn what_is_missing_is_named_after_what_was_found() {
        let object = |name: &str| {
            if name == "there" {
                Ok(Found::plain(json!({})))
            } else {
                Err(Failure::new(format!("Error: No such object: {name}")))
            }
        };
        let names = ["a".to_owned(), "there".to_owned(), "b".to_owned()];
        let failure = show(Some("{{len .}}"), &names, object).unwrap_err();
        assert_eq!(failure.message, "Error: No such object: a\nError: No such object: b");
        assert_eq!(failure.status, 1);
        assert_eq!(show(Some("{{"), &names, object).unwrap_err().status, 64);
    }
}
