#![doc = include_str!("../README.md")]

mod body;
mod compression;
mod file;
mod folder;
mod headers;
mod media_type;
mod memory;
mod name;
mod negotiation;
mod relative;
mod scripts;

use std::{
    borrow::Cow,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tower_service::Service;

pub use self::folder::FolderError;
#[doc(hidden)]
pub use self::negotiation::{accepts, etag_matches};
pub use self::{
    body::Body,
    headers::{Needs, Policy},
};
use self::{
    file::{Answer, Codings, File, PRECOMPRESSED},
    memory::Memory,
    name::Name,
};

/// A built page, and how it is served.
///
/// It is cheap to clone. Use [`respond`](Self::respond), or use it as a tower service.
#[derive(Clone, Debug)]
pub struct Page {
    files: Arc<Files>,
    needs: Needs,
    policy: Policy,
}

#[derive(Debug)]
enum Files {
    Memory(Memory),
    Folder(folder::Folder),
}

impl Page {
    /// A page of these files, which are in memory and stay as they are: those that were embedded in the
    /// binary, say. A name is relative to the page's root, such as `assets/app.js`, and the page itself is
    /// `index.html`. `app.js.br` and `app.js.gz` are forms of `app.js`; text and WebAssembly that have no
    /// such form are compressed with gzip, now.
    pub fn of_files(files: impl IntoIterator<Item = (String, Cow<'static, [u8]>)>) -> Self {
        Self::new(Files::Memory(Memory::new(files)))
    }

    /// The page in a folder. Its files are read when they are asked for, so what changes there is served
    /// from then on. Hidden files, and links that lead out of the folder, are not.
    ///
    /// Requires a tokio runtime to respond.
    pub fn in_folder(path: impl AsRef<std::path::Path>) -> Result<Self, FolderError> {
        let folder = folder::Folder::new(path.as_ref());
        folder.check()?;
        Ok(Self::new(Files::Folder(folder)))
    }

    /// The same as [`in_folder`](Self::in_folder), for a folder that need not exist yet: until it does,
    /// every response is 404.
    pub fn in_folder_to_come(path: impl AsRef<std::path::Path>) -> Self {
        Self::new(Files::Folder(folder::Folder::new(path.as_ref())))
    }

    fn new(files: Files) -> Self {
        Self { files: Arc::new(files), needs: Needs::default(), policy: Policy::default() }
    }

    /// Sets what the page may do in a browser. Browsers forbid everything else.
    #[must_use]
    pub fn with_needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    /// Sets the `content-security-policy`.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// The response to a request for the page or one of its files:
    ///
    /// - 200 with the file, or with the page, if the path is a place in it: its last part has no dot;
    /// - 304 if `if-none-match` says that the client has it;
    /// - 404 for a file that is not there, a hidden one, or one outside of the page;
    /// - 405 for other methods than GET and HEAD.
    pub fn respond<B>(
        &self,
        request: &Request<B>,
    ) -> impl Future<Output = Response<Body>> + Send + use<B> {
        let (page, asked) = (self.clone(), Asked::of(request));
        async move { page.answer(asked).await }
    }

    async fn answer(&self, asked: Asked) -> Response<Body> {
        let (answer, index_scripts) = self.look(asked.name.clone(), asked.codings).await;
        if !matches!(asked.method, Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "the page is read by GET\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return self.finish(response, &asked, &index_scripts);
        }
        let Some((name, answer)) = asked.name.as_ref().zip(answer) else {
            let words = match &asked.name {
                Some(name) if name.is_place => "there is no index.html: the page is not built\n",
                _ => "there is no such file\n",
            };
            return self.finish(plain(StatusCode::NOT_FOUND, words), &asked, &index_scripts);
        };
        let file_name = if answer.is_index { name::INDEX } else { &name.file };
        let file = self.at_its_depth(name, answer).await;
        let scripts = file.scripts.clone().unwrap_or(index_scripts);
        self.finish(with_file(file, file_name, &asked), &asked, &scripts)
    }

    /// The file of a name, or the page in its place; and the scripts of the page.
    async fn look(&self, name: Option<Name>, codings: Codings) -> (Option<Answer>, String) {
        match &*self.files {
            Files::Memory(memory) => {
                let answer = name.and_then(|name| memory.answer(&name, codings));
                (answer, memory.index_scripts())
            }
            Files::Folder(folder) => folder.answer(name, codings).await,
        }
    }

    /// The page, with references that lead to its files from a place deeper in it.
    async fn at_its_depth(&self, name: &Name, answer: Answer) -> File {
        if !answer.is_index || name.depth == 0 {
            return answer.file;
        }
        // References are written in the page as it is.
        let uncoded = match answer.file.coding {
            None => None,
            Some(_) => self.look(Some(name.clone()), Codings::default()).await.0,
        };
        let plain = uncoded.as_ref().map_or(&answer.file, |uncoded| &uncoded.file);
        let text = plain.body.bytes().filter(|_| plain.coding.is_none());
        let html = text.and_then(|bytes| std::str::from_utf8(bytes).ok());
        match html.map(|html| (html, relative::moved(html, name.depth))) {
            Some((html, moved)) if *moved != *html => file::made(moved),
            _ => answer.file,
        }
    }

    fn finish(&self, mut response: Response<Body>, asked: &Asked, scripts: &str) -> Response<Body> {
        let bytes = response.body().remaining_bytes();
        if response.status() != StatusCode::NOT_MODIFIED {
            response.headers_mut().insert(header::CONTENT_LENGTH, bytes.into());
        }
        if asked.method == Method::HEAD {
            *response.body_mut() = Body::default();
        }
        headers::add(response.headers_mut(), self.needs, &self.policy, scripts);
        response
    }
}

impl<B> Service<Request<B>> for Page {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (page, asked) = (self.clone(), Asked::of(&request));
        Box::pin(async move { Ok(page.answer(asked).await) })
    }
}

/// What a request asks for.
struct Asked {
    method: Method,
    name: Option<Name>,
    codings: Codings,
    known: Vec<HeaderValue>,
}

impl Asked {
    fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        Self {
            method: request.method().clone(),
            name: Name::of(request.uri().path()),
            codings: Codings(PRECOMPRESSED.map(|(_, coding)| accepts(headers, coding))),
            known: headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect(),
        }
    }
}

fn with_file(file: File, name: &str, asked: &Asked) -> Response<Body> {
    let etag = format!("\"{}\"", file.tag);
    let fresh = asked.known.iter().any(|known| etag_matches(known.as_bytes(), &etag));
    let mut response = Response::new(if fresh { Body::default() } else { file.body });
    let headers: &mut HeaderMap = response.headers_mut();
    // Hexadecimal digits between quotes are always a valid header value.
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let caching =
        if file.is_immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(header::CONTENT_TYPE, media_type::content_type(name));
    if let Some(coding) = file.coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
