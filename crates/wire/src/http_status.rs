//! What an HTTP status means to a gRPC client.

use tonic::Code;

/// The code of a call that got an HTTP response without a gRPC status in it: a proxy's error page, or that of
/// another server. <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
#[must_use]
pub const fn code_of_http_status(status: u16) -> Code {
    match status {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_statuses_are_mapped_as_the_specification_says() {
        for (status, code) in [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (429, Code::Unavailable),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
        ] {
            assert_eq!(code_of_http_status(status), code, "{status}");
        }
        for other in [200, 204, 302, 402, 405, 408, 418, 500, 501, 505, 800, 0] {
            assert_eq!(code_of_http_status(other), Code::Unknown, "{other}");
        }
    }
}
