//! The path below which a proxy passes requests on to this server, if it does not take that path away.

use std::{str::FromStr, sync::Arc};

use http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use tonic::body::Body;

/// A path that begins with a slash and does not end with one: `/runnel`, `/apps/runnel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Arc<str>);

/// Why a text is no [`Prefix`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; it is written like /runnel or /apps/runnel")]
pub struct PrefixError(&'static str);

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Prefixed {
    /// It is for a path of this server now, whether it had the prefix or not.
    Not,
    /// It is for the prefix itself, without a slash at its end. Relative references in the page would lead
    /// out of the prefix there, so this sends the browser to the slash.
    WithoutSlash(Response<Body>),
}

impl Prefix {
    /// Takes the prefix off the path of a request, if it is there: a native client behind the same
    /// server knows of none.
    pub(crate) fn take<B>(&self, request: &mut Request<B>) -> Prefixed {
        let uri = request.uri();
        let Some(rest) = uri.path().strip_prefix(&*self.0) else {
            return Prefixed::Not;
        };
        if rest.is_empty() {
            return Prefixed::WithoutSlash(self.to_the_root(uri.query()));
        }
        let rest = uri.path_and_query().and_then(|path| path.as_str().get(self.0.len()..));
        if let Some(Ok(rest)) =
            rest.filter(|rest| rest.starts_with('/')).map(PathAndQuery::try_from)
        {
            let mut parts = uri.clone().into_parts();
            parts.path_and_query = Some(rest);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
        Prefixed::Not
    }

    /// Relative, so that it is right wherever a proxy has put the prefix.
    fn to_the_root(&self, query: Option<&str>) -> Response<Body> {
        let last = self.0.rsplit('/').next().unwrap_or_default();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        // A query is of characters that a header may have.
        if let Ok(location) = HeaderValue::try_from(format!("{last}/{query}")) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let Some(parts) = path.strip_prefix('/') else {
            return Err(PrefixError(match text {
                "" => "a prefix cannot be empty",
                "/" => "without a prefix the page is at / already",
                _ => "a prefix begins with a slash",
            }));
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
        for part in parts.split('/') {
            match part {
                "" => return Err(PrefixError("a prefix has no two slashes in a row")),
                "." | ".." => return Err(PrefixError("a prefix has no . or .. in it")),
                _ if !part.chars().all(is_plain) => {
                    return Err(PrefixError("a prefix has letters, digits, and - _ . ~ only"));
                }
                _ => (),
            }
        }
        Ok(Self(path.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(prefix: &str, uri: &str) -> Result<String, String> {
        let mut request = Request::get(uri).body(()).unwrap();
        match prefix.parse::<Prefix>().unwrap().take(&mut request) {
            Prefixed::Not => Ok(request.uri().to_string()),
            Prefixed::WithoutSlash(root) => {
                Err(root.headers()[header::LOCATION].to_str().unwrap().to_owned())
            }
        }
    }

    #[test]
    fn the_prefix_is_taken_off_whole_parts_of_a_path() {
        for (uri, expected) in [
            ("/runnel/", "/"),
            ("/runnel/api.Api/getAll", "/api.Api/getAll"),
            ("/runnel/a?b=/runnel/c", "/a?b=/runnel/c"),
            ("/runnel//a", "//a"),
            ("/runnel/runnel/a", "/runnel/a"),
            ("http://app.example:1/runnel/a", "http://app.example:1/a"),
            ("/", "/"),
            ("/api.Api/getAll", "/api.Api/getAll"),
            ("/runnels/a", "/runnels/a"),
            ("/other/runnel/a", "/other/runnel/a"),
        ] {
            assert_eq!(taken("/runnel", uri).as_deref(), Ok(expected), "{uri}");
        }
        assert_eq!(taken("/apps/runnel/", "/apps/runnel/a").as_deref(), Ok("/a"));
    }

    #[test]
    fn without_a_slash_at_its_end_it_leads_to_the_slash() {
        assert_eq!(taken("/runnel", "/runnel"), Err("runnel/".to_owned()));
        assert_eq!(taken("/apps/runnel", "/apps/runnel?a=b"), Err("runnel/?a=b".to_owned()));
    }

    #[test]
    fn what_is_no_path_of_names_is_no_prefix() {
        for text in [
            "", "/", "//", "runnel", "./runnel", "/..", "/a/../b", "/./a", "/a//b", "/a b", "/a?b",
            "/%61",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        assert_eq!("/a/".parse::<Prefix>(), "/a".parse());
    }
}
