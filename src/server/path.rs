//! Path handling of the edge: doubled slashes, and the paths of the admin API.

use http::Uri;
use http::uri::PathAndQuery;

/// Replaces repeated slashes in the path by one. The query stays unchanged.
pub(super) fn collapse_slashes(uri: &mut Uri) {
    if !uri.path().contains("//") {
        return;
    }
    let mut path = String::with_capacity(uri.path().len());
    for c in uri.path().chars() {
        if c != '/' || !path.ends_with('/') {
            path.push(c);
        }
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(
        PathAndQuery::try_from(path).expect("a path stays valid when repeated slashes are removed"),
    );
    *uri = Uri::from_parts(parts).expect("only the path of a valid URI has changed");
}

/// Returns true for paths of the admin API, which needs the operator's rights.
pub(super) fn is_admin_api(path: &str) -> bool {
    path.starts_with("/api/")
}

/// Returns the stream id in a cancel path of the admin API.
pub(super) fn operator_cancel(path: &str) -> Option<&str> {
    path.strip_prefix("/api/streams/")?
        .strip_suffix("/cancel")
        .filter(|id| !id.is_empty() && !id.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collapsed(uri: &str) -> String {
        let mut uri: Uri = uri.parse().unwrap();
        collapse_slashes(&mut uri);
        uri.to_string()
    }

    #[test]
    fn doubled_slashes_are_collapsed_except_in_the_query() {
        assert_eq!(
            collapsed("/v1//chat///completions?a=//b"),
            "/v1/chat/completions?a=//b"
        );
        assert_eq!(collapsed("//v1/models"), "/v1/models");
        assert_eq!(collapsed("/v1/models"), "/v1/models");
        assert_eq!(
            collapsed("http://host//v1//models/"),
            "http://host/v1/models/"
        );
    }

    #[test]
    fn the_operator_cancel_path_names_one_stream() {
        assert_eq!(operator_cancel("/api/streams/abc/cancel"), Some("abc"));
        for path in [
            "/api/streams//cancel",
            "/api/streams/cancel",
            "/api/streams/a/b/cancel",
            "/api/streams/abc",
            "/v1/streams/abc/cancel",
        ] {
            assert_eq!(operator_cancel(path), None, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn collapsing_leaves_no_doubled_slash_and_changes_nothing_else(path in "(/{1,3}[a-z%0-9.]{0,4}){1,6}") {
            let uri = collapsed(&path);
            proptest::prop_assert!(!uri.contains("//"));
            proptest::prop_assert_eq!(uri.replace('/', ""), path.replace('/', ""));
        }
    }
}
