//! The models that a caller may use, in the shape of OpenAI or of Anthropic.

use bytestring::ByteString;
use http::{Response, StatusCode};
use serde::Serialize;

use super::call::Call;
use super::headers;
use super::query::Query;
use super::reply::Reply;
use crate::codec::date::rfc3339;
use crate::dialect::ModelsShape;
use crate::model::fault::{Code, Fault};

/// Maximum number of models in one page, as in Anthropic's API.
const MAX_PAGE: usize = 1000;

#[derive(Serialize)]
struct List<'a> {
    object: &'a str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Model<'a> {
    Openai {
        id: &'a str,
        object: &'a str,
        created: u64,
        owned_by: &'a str,
    },
    Anthropic {
        r#type: &'a str,
        id: &'a str,
        display_name: &'a str,
        created_at: String,
        lifecycle: &'a str,
    },
}

#[derive(Serialize)]
struct Page<'a> {
    data: Vec<Model<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

/// `GET /v1/models`.
pub(super) fn list(call: &Call<'_>) -> Result<Response<Reply>, Fault> {
    call.count_read()?;
    let all = call.snapshot.routes.names();
    let names: Vec<&ByteString> = all.filter(|name| call.caller.may_use(name)).collect();
    let shape = call.codec().profile().models;
    if shape == ModelsShape::List {
        return Ok(json(&List {
            object: "list",
            data: model_objects(call, &names, shape),
        }));
    }
    let (page, has_more) = page(&names, &call.query())?;
    let (first_id, last_id) = (page.first().map(|id| &***id), page.last().map(|id| &***id));
    Ok(json(&Page {
        data: model_objects(call, page, shape),
        has_more,
        first_id,
        last_id,
    }))
}

/// `GET /v1/models/{name}`.
pub(super) fn read(call: &Call<'_>, name: &str) -> Result<Response<Reply>, Fault> {
    call.count_read()?;
    let (routes, may_use) = (&call.snapshot.routes, |model: &str| {
        call.caller.may_use(model)
    });
    if routes.knows(name) && may_use(name) {
        let shape = call.codec().profile().models;
        return Ok(json(&model_object(call, name, shape)));
    }
    // The plan reports unknown and forbidden models. A name that it accepts only as a direct
    // target (`provider/model`) is no listed model.
    routes.plan(name, may_use, || 0).map(drop)?;
    Err(Fault::new(
        Code::ModelNotFound,
        "unknown model: GET /v1/models lists the models that this key may use",
    )
    .with_param("model"))
}

fn model_objects<'a>(
    call: &Call<'_>,
    names: &[&'a ByteString],
    shape: ModelsShape,
) -> Vec<Model<'a>> {
    names
        .iter()
        .map(|name| model_object(call, name, shape))
        .collect()
}

fn model_object<'a>(call: &Call<'_>, name: &'a str, shape: ModelsShape) -> Model<'a> {
    let created = call.gateway.started;
    match shape {
        ModelsShape::Pages => Model::Anthropic {
            r#type: "model",
            id: name,
            display_name: name,
            created_at: rfc3339(created),
            lifecycle: "active",
        },
        ModelsShape::List => Model::Openai {
            id: name,
            object: "model",
            created,
            owned_by: "sluicegate",
        },
    }
}

/// Returns the models after `after_id` and before `before_id`, at most `limit` of them; and true if
/// there are more in that direction.
fn page<'n, 'a>(
    names: &'n [&'a ByteString],
    query: &Query<'_>,
) -> Result<(&'n [&'a ByteString], bool), Fault> {
    let limit = query.page_limit(MAX_PAGE, MAX_PAGE)?;
    let at = |name: &str| {
        query
            .get(name)
            .map(|id| {
                names
                    .iter()
                    .position(|it| *it == id)
                    .ok_or_else(|| unknown_cursor(name))
            })
            .transpose()
    };
    let (after, before) = (at("after_id")?, at("before_id")?);
    let rest = names
        .get(after.map_or(0, |at| at + 1)..before.unwrap_or(names.len()))
        .unwrap_or_default();
    let count = rest.len().min(limit);
    // A page before a cursor holds the models closest to it.
    let page = if before.is_some() {
        rest.split_at(rest.len() - count).1
    } else {
        rest.split_at(count).0
    };
    Ok((page, count < rest.len()))
}

fn unknown_cursor(name: &str) -> Fault {
    Fault::invalid(
        name,
        format!("`{name}` takes the id of a model that this key may use"),
    )
}

fn json(value: &impl Serialize) -> Response<Reply> {
    let text = serde_json::to_vec(value).expect("strings and numbers are always JSON");
    headers::json(StatusCode::OK, text)
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    fn paged(query: &str) -> Result<(String, bool), String> {
        let names: Vec<ByteString> = ["a", "b", "c", "d"].map(Into::into).to_vec();
        let names: Vec<&ByteString> = names.iter().collect();
        let uri: Uri = format!("/v1/models?{query}").parse().unwrap();
        let (page, more) =
            page(&names, &Query::parse(&uri)).map_err(|fault| fault.param.unwrap())?;
        Ok((page.iter().map(|it| &***it).collect(), more))
    }

    #[test]
    fn pages_follow_limit_and_cursors() {
        for (query, count, more) in [
            ("", "abcd", false),
            ("limit=2", "ab", true),
            ("limit=2&after_id=b", "cd", false),
            ("after_id=d", "", false),
            ("before_id=d&limit=2", "bc", true),
            ("before_id=a", "", false),
            ("before_id=b&after_id=c", "", false),
        ] {
            assert_eq!(paged(query).unwrap(), (count.to_owned(), more), "{query}");
        }
        for (query, param) in [
            ("limit=0", "limit"),
            ("limit=x", "limit"),
            ("after_id=z", "after_id"),
        ] {
            assert_eq!(paged(query).unwrap_err(), param);
        }
    }
}
