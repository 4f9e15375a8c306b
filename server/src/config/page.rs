//! Which page is served, and where it is mounted.

use std::path::PathBuf;

use clap::{
    Args,
    builder::{PathBufValueParser, TypedValueParser as _},
};
use http::HeaderValue;
use runnel_page::Policy;

use crate::prefix::Prefix;

/// The page.
#[derive(Args, Clone, Debug, Default)]
pub struct PageConfig {
    /// The page to serve: `embedded` for the page in this program; a folder with a built page, which has an
    /// `index.html`; or `none` to only answer calls. A folder that is named like one of these words is written
    /// `./none`.
    #[arg(
        long,
        env = "RUNNEL_PAGE",
        value_name = "DIR",
        default_value = "embedded",
        value_parser = PathBufValueParser::new().map(PageChoice::from)
    )]
    pub page: PageChoice,

    /// The `content-security-policy` of every response of the page, such as `default-src 'self' https:`; `none`
    /// sends none. `computed` allows what the embedded page needs; for another page it allows everything from its
    /// own origin, and the scripts inside its HTML.
    #[arg(
        long,
        env = "RUNNEL_PAGE_CSP",
        value_name = "POLICY",
        default_value = "computed",
        value_parser = policy
    )]
    pub page_csp: Policy,

    /// The path at which a proxy mounts this server, such as `/runnel`, if the proxy passes requests on with
    /// that path. The server then answers for the page and for calls below it, too. If the proxy removes the path,
    /// do not set this option.
    #[arg(long, env = "RUNNEL_PAGE_PREFIX", value_name = "PATH")]
    pub page_prefix: Option<Prefix>,
}

/// The page that is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PageChoice {
    /// The one in this program.
    #[default]
    Embedded,
    /// The one in this folder.
    Folder(PathBuf),
    /// None: calls only.
    None,
}

impl From<PathBuf> for PageChoice {
    fn from(path: PathBuf) -> Self {
        match path.to_str() {
            Some("embedded") => Self::Embedded,
            Some("none") => Self::None,
            _ => Self::Folder(path),
        }
    }
}

fn policy(text: &str) -> Result<Policy, String> {
    match text.trim() {
        "" => Err("a policy cannot be empty; `none` sends none".to_owned()),
        "none" => Ok(Policy::Omitted),
        "computed" => Ok(Policy::Computed),
        text if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
            HeaderValue::from_str(text).map(Policy::Fixed).map_err(|why| why.to_string())
        }
        _ => Err("a policy is one line of ASCII".to_owned()),
    }
}
