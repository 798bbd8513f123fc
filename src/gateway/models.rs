//! The models a caller may use, in OpenAI's shape or in Anthropic's.

use bytestring::ByteString;
use http::{Response, StatusCode, Uri};
use serde::Serialize;

use super::query::Query;
use super::reply::Reply;
use super::{Gateway, Snapshot, headers};
use crate::auth::Caller;
use crate::codec::date::rfc3339;
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;

/// The most models in one page; what Anthropic's API has.
const PAGE: usize = 1000;

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

impl Gateway {
    /// `GET /v1/models`.
    pub(super) fn models(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        dialect: DialectId,
        uri: &Uri,
    ) -> Result<Response<Reply>, Fault> {
        self.count_read(caller)?;
        let names: Vec<&ByteString> = snapshot
            .routes
            .names()
            .filter(|name| caller.may_use(name))
            .collect();
        if dialect != DialectId::Anthropic {
            return Ok(json(&List {
                object: "list",
                data: self.rows(&names, dialect),
            }));
        }
        let (page, has_more) = page(&names, &Query::of(uri))?;
        let (first_id, last_id) = (page.first().map(|id| &***id), page.last().map(|id| &***id));
        Ok(json(&Page {
            data: self.rows(page, dialect),
            has_more,
            first_id,
            last_id,
        }))
    }

    /// `GET /v1/models/{name}`.
    pub(super) fn model(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        name: &str,
        dialect: DialectId,
    ) -> Result<Response<Reply>, Fault> {
        self.count_read(caller)?;
        if snapshot.routes.knows(name) && caller.may_use(name) {
            return Ok(json(&self.row(name, dialect)));
        }
        // The same sentence for what is not there and what is not allowed, unless the plan knows
        // better.
        snapshot
            .routes
            .plan(name, |model| caller.may_use(model), || 0)
            .map(drop)?;
        Err(Fault::new(Code::ModelNotFound, "no such model here").with_param("model"))
    }

    fn rows<'a>(&self, names: &[&'a ByteString], dialect: DialectId) -> Vec<Model<'a>> {
        names.iter().map(|name| self.row(name, dialect)).collect()
    }

    fn row<'a>(&self, name: &'a str, dialect: DialectId) -> Model<'a> {
        if dialect == DialectId::Anthropic {
            let created_at = rfc3339(self.began);
            return Model::Anthropic {
                r#type: "model",
                id: name,
                display_name: name,
                created_at,
                lifecycle: "active",
            };
        }
        Model::Openai {
            id: name,
            object: "model",
            created: self.began,
            owned_by: "sluicegate",
        }
    }
}

/// The models behind `after_id` or before `before_id`, at most `limit` of them; and whether there
/// are more that way.
fn page<'n, 'a>(
    names: &'n [&'a ByteString],
    query: &Query<'_>,
) -> Result<(&'n [&'a ByteString], bool), Fault> {
    let limit = query.get("limit").map_or(Ok(PAGE), limit)?;
    let at = |name: &str| {
        query
            .get(name)
            .map(|id| {
                names
                    .iter()
                    .position(|it| *it == id)
                    .ok_or_else(|| unknown(name))
            })
            .transpose()
    };
    let (after, before) = (at("after_id")?, at("before_id")?);
    let rest = names
        .get(after.map_or(0, |at| at + 1)..before.unwrap_or(names.len()))
        .unwrap_or_default();
    let shown = rest.len().min(limit);
    let page = if before.is_some() {
        rest.split_at(rest.len() - shown).1
    } else {
        rest.split_at(shown).0
    };
    Ok((page, shown < rest.len()))
}

fn limit(text: &str) -> Result<usize, Fault> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=PAGE).contains(number));
    number
        .ok_or_else(|| Fault::invalid("limit", format!("`limit` takes a number from 1 to {PAGE}")))
}

fn unknown(name: &str) -> Fault {
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
    use super::*;

    fn paged(query: &str) -> Result<(String, bool), String> {
        let names: Vec<ByteString> = ["a", "b", "c", "d"].map(Into::into).to_vec();
        let names: Vec<&ByteString> = names.iter().collect();
        let uri: Uri = format!("/v1/models?{query}").parse().unwrap();
        let (page, more) = page(&names, &Query::of(&uri)).map_err(|fault| fault.param.unwrap())?;
        Ok((page.iter().map(|it| &***it).collect(), more))
    }

    #[test]
    fn pages_are_cut_as_the_api_cuts_them() {
        for (query, shown, more) in [
            ("", "abcd", false),
            ("limit=2", "ab", true),
            ("limit=2&after_id=b", "cd", false),
            ("after_id=d", "", false),
            ("before_id=d&limit=2", "bc", true),
            ("before_id=a", "", false),
            ("before_id=b&after_id=c", "", false),
        ] {
            assert_eq!(paged(query).unwrap(), (shown.to_owned(), more), "{query}");
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
