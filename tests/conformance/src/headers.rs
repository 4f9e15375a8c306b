//! Headers and trailers as the suite's messages have them: in order, each name with all its values.

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Status, metadata::MetadataMap};

use crate::proto::Header;

/// Headers to send. Values of `-bin` headers are base64 already, in the suite as on the wire.
pub(crate) fn to_send(headers: &[Header]) -> Result<HeaderMap, Status> {
    let mut map = HeaderMap::new();
    for Header { name, value } in headers {
        let unfit = || Status::invalid_argument(format!("{name:?} cannot be sent as a header"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
        for value in value {
            map.append(&name, HeaderValue::from_str(value).map_err(|_| unfit())?);
        }
    }
    Ok(map)
}

/// The headers that came with a call.
pub(crate) fn received(metadata: &MetadataMap) -> Vec<Header> {
    let headers: &HeaderMap = metadata.as_ref();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .keys()
        .map(|name| Header {
            name: name.to_string(),
            value: headers.get_all(name).iter().map(text).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_header_comes_back_in_order() {
        let header = |name: &str, values: &[&str]| Header {
            name: name.to_owned(),
            value: values.iter().map(|&value| value.to_owned()).collect(),
        };
        let headers = [header("x-one", &["1"]), header("x-two-bin", &["Mg", "Mw"])];
        let sent = MetadataMap::from_headers(to_send(&headers).unwrap());
        let mut back = received(&sent);
        back.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(back, headers);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let header = Header { name: "not a name".to_owned(), value: Vec::new() };
        assert_eq!(to_send(&[header]).unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
