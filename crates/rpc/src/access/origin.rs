//! An origin as browsers write it, or a pattern of origins.

use std::{fmt, str::FromStr};

use http::{HeaderValue, Uri};

use super::names::{self, NameError};

/// The origin of pages that may call, spelled as browsers do: `https://app.example`. With
/// `https://*.app.example` those of every name that is one label longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Any origin, or one that any page can have.
    #[error("name each origin; `*` and `null` would let any page call")]
    Any,
    /// Not what a browser would ever send.
    #[error(
        "an origin is a scheme, a host and a port that is not the scheme's own, in lower case, \
             such as https://app.example or http://localhost:3000"
    )]
    Malformed,
    /// Not the name of a host, nor a pattern of names.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Origin {
    /// Whether a browser's `origin` is this one, or one of these: the scheme and the port are the same to
    /// the letter, and so is the name but for the label that a star stands for.
    pub(super) fn means(&self, origin: &HeaderValue) -> bool {
        let Some((scheme, name, port)) = parts(&self.0).filter(|parts| parts.1.starts_with("*."))
        else {
            return self.0 == origin;
        };
        parts(origin).is_some_and(|other| {
            (scheme, port) == (other.0, other.2) && names::means(name, other.1)
        })
    }
}

/// The scheme, the name and the port of an origin.
fn parts(origin: &HeaderValue) -> Option<(&str, &str, &str)> {
    let (scheme, authority) = origin.to_str().ok()?.split_once("://")?;
    let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
    Some((scheme, name, port))
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if matches!(text, "*" | "null") {
            return Err(OriginError::Any);
        }
        if !text.is_ascii() {
            return Err(NameError::Letters.into());
        }
        let uri: Uri = text.parse().map_err(|_| OriginError::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(OriginError::Malformed);
        };
        let host = authority.host();
        // A scheme of a browser's extensions has an id there, which is a name, too.
        if !host.starts_with('[') {
            names::check(host)?;
        }
        // Browsers leave the port out where it is the scheme's own.
        let own_port = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let port = authority.port_u16().filter(|port| Some(*port) != own_port);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let spelled = format!("{scheme}://{}{port}", authority.host()).to_ascii_lowercase();
        match HeaderValue::from_str(&spelled) {
            Ok(value) if spelled == text => Ok(Self(value)),
            _ => Err(OriginError::Malformed),
        }
    }
}

impl Origin {
    /// As browsers spell it.
    pub(super) const fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// Its host, without a port.
    pub(super) fn host(&self) -> String {
        let uri = Uri::try_from(self.0.as_bytes()).ok();
        uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_spelled_as_browsers_spell_it() {
        for text in [
            "https://app.example",
            "http://localhost:3000",
            "http://[::1]:8080",
            "https://xn--bcher-kva.example",
            "chrome-extension://abcdefghijklmnop",
            "https://*.preview.example",
            "http://*.localhost:3000",
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_rather_than_never_matched() {
        for text in [
            "",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example/path",
            "https://app.example?x",
            "https://App.example",
            "HTTPS://app.example",
            "https://app.example:443",
            "http://app.example:80",
            "https://me@app.example",
            "https://*.preview.example ",
            "https://*.preview.example/",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(OriginError::Malformed), "{text}");
        }
        for text in ["*", "null"] {
            assert_eq!(text.parse::<Origin>(), Err(OriginError::Any));
        }
        for text in
            ["https://*", "https://*.example", "https://a.*.example", "https://*a.b.example"]
        {
            assert_eq!(text.parse::<Origin>(), Err(OriginError::Name(NameError::Star)), "{text}");
        }
        let letters = OriginError::Name(NameError::Letters);
        assert_eq!("https://b\u{fc}cher.example".parse::<Origin>(), Err(letters));
        let no_label = OriginError::Name(NameError::EmptyLabel);
        assert_eq!("https://.app.example".parse::<Origin>(), Err(no_label));
    }
}
