//! The models a caller may use.

use http::{Response, StatusCode};
use serde::Serialize;

use super::reply::Reply;
use super::{Gateway, House, headers};
use crate::auth::Caller;
use crate::model::fault::{Code, Fault};

#[derive(Serialize)]
struct List<'a> {
    object: &'a str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'a str,
    created: u64,
    owned_by: &'a str,
}

impl Gateway {
    /// `GET /v1/models`.
    pub(super) fn models(&self, house: &House, caller: &Caller) -> Result<Response<Reply>, Fault> {
        let names = house.routes.names().filter(|name| caller.may_use(name));
        let data = names.map(|name| self.row(name)).collect();
        json(&List { object: "list", data })
    }

    /// `GET /v1/models/{name}`.
    pub(super) fn model(&self, house: &House, caller: &Caller, name: &str) -> Result<Response<Reply>, Fault> {
        if house.routes.knows(name) && caller.may_use(name) {
            return json(&self.row(name));
        }
        // The same sentence for what is not there and what is not allowed, unless the plan knows better.
        house.routes.plan(name, |model| caller.may_use(model)).map(drop)?;
        Err(Fault::new(Code::ModelNotFound, "no such model here").with_param("model"))
    }

    fn row<'a>(&self, name: &'a str) -> Model<'a> {
        Model { id: name, object: "model", created: self.began, owned_by: "sluicegate" }
    }
}

fn json(value: &impl Serialize) -> Result<Response<Reply>, Fault> {
    let text = serde_json::to_vec(value).expect("strings and numbers are always JSON");
    Ok(headers::json(StatusCode::OK, text))
}
