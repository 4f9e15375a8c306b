//! A page in a folder: what is served of it, and what is not.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use runnel_page::{FolderError, Page};
use tempfile::TempDir;

const HTML: &str = "<!doctype html><script>a()</script><script src=\"./app.js\"></script>";

/// A folder with an `index.html` and an `app.js`, both long settled.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    write(&folder, "index.html", HTML);
    write(&folder, "app.js", &"a();\n".repeat(1000));
    folder
}

/// Writes a file that was last changed a minute ago.
fn write(folder: &TempDir, name: &str, content: &str) {
    write_at(folder, name, content, SystemTime::now() - Duration::from_mins(1));
}

fn write_at(folder: &TempDir, name: &str, content: &str, modified: SystemTime) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

async fn ask(page: &Page, path: &str, headers: &[(&str, &str)]) -> (Response<()>, Bytes) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, body) = page.respond(&request.body(()).unwrap()).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if head.status != StatusCode::NOT_MODIFIED {
        assert_eq!(head.headers[header::CONTENT_LENGTH], body.len().to_string(), "{path}");
    }
    (Response::from_parts(head, ()), body)
}

async fn text(page: &Page, path: &str) -> String {
    let (head, body) = ask(page, path, &[]).await;
    assert_eq!(head.status(), StatusCode::OK, "{path}");
    String::from_utf8(body.to_vec()).unwrap()
}

async fn is_missing(page: &Page, path: &str) -> bool {
    ask(page, path, &[]).await.0.status() == StatusCode::NOT_FOUND
}

fn etag(headers: &HeaderMap) -> &str {
    headers[header::ETAG].to_str().unwrap()
}

#[tokio::test]
async fn names_with_odd_characters_are_found_and_folders_are_no_files() {
    let folder = folder();
    write(&folder, "a b/grüße+100%.txt", "odd");
    write(&folder, ".well-known/security.txt", "known");
    write(&folder, "LICENSE", "words");
    let page = Page::in_folder(&folder).unwrap();
    assert_eq!(text(&page, "/a%20b/gr%C3%BC%C3%9Fe+100%25.txt").await, "odd");
    assert_eq!(text(&page, "/.well-known/security.txt").await, "known");
    assert_eq!(text(&page, "/LICENSE").await, "words");
    assert_eq!(text(&page, "/a%20b").await, HTML);
    assert!(is_missing(&page, "/.well-known/missing").await);
}

#[tokio::test]
async fn what_is_written_to_the_folder_is_served_from_then_on() {
    let folder = folder();
    let page = Page::in_folder(&folder).unwrap();
    let (first, _) = ask(&page, "/app.js", &[("accept-encoding", "gzip")]).await;
    assert_eq!(first.headers()[header::CONTENT_ENCODING], "gzip");

    // As long as before, and at the same time: nothing but the bytes tells the first two apart. The time is
    // ahead, so that it is as recent however long this takes.
    let now = SystemTime::now();
    let (just_now, long_ago) = (now + Duration::from_hours(1), now - Duration::from_mins(1));
    for (script, modified) in [("b", just_now), ("c", just_now), ("d", long_ago)] {
        let script = format!("{script}();\n").repeat(1000);
        write_at(&folder, "app.js", &script, modified);
        assert_eq!(text(&page, "/app.js").await, script);
        let (again, _) = ask(&page, "/app.js", &[("if-none-match", etag(first.headers()))]).await;
        assert_eq!(again.status(), StatusCode::OK);
        let (packed, body) = ask(&page, "/app.js", &[("accept-encoding", "gzip")]).await;
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&*body).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, script);
    }

    write(&folder, "new.js", "n");
    assert_eq!(text(&page, "/new.js").await, "n");
    fs::remove_file(folder.path().join("new.js")).unwrap();
    assert!(is_missing(&page, "/new.js").await);

    write(&folder, "index.html", "<script>b()</script>");
    let policy = async |path| {
        let (head, _) = ask(&page, path, &[]).await;
        head.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
    };
    let changed = policy("/").await;
    // echo -n 'b()' | openssl sha256 -binary | base64
    assert!(changed.contains("'sha256-cf242PFc/kb7xD0Qzhsmd9vvRkc+cWFmbi+k+YvtdKc='"), "{changed}");
    assert_eq!(policy("/app.js").await, changed, "of the page it is a file of");
}

#[tokio::test]
async fn each_page_of_a_folder_has_the_policy_of_its_own_scripts() {
    let folder = folder();
    write(&folder, "about.html", "<script>about()</script>");
    let page = Page::in_folder(&folder).unwrap();
    let policy = async |path| {
        let (head, _) = ask(&page, path, &[]).await;
        head.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
    };
    assert_ne!(policy("/about.html").await, policy("/").await);
    assert_eq!(policy("/about").await, policy("/").await);
}

#[tokio::test]
async fn a_compressed_form_beside_a_file_is_sent_unless_it_is_older() {
    let folder = folder();
    write(&folder, "app.js.br", "brotli");
    write(&folder, "app.js.gz", "gzip");
    write(&folder, "notes.tar.gz", "a file of its own");
    let page = Page::in_folder(&folder).unwrap();
    for (accepted, coding, body) in [("gzip, br", "br", "brotli"), ("gzip", "gzip", "gzip")] {
        let (head, got) = ask(&page, "/app.js", &[("accept-encoding", accepted)]).await;
        assert_eq!(head.headers()[header::CONTENT_ENCODING], coding);
        assert_eq!(head.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(got, body);
    }
    assert!(is_missing(&page, "/app.js.br").await, "no file of its own");
    assert_eq!(text(&page, "/notes.tar.gz").await, "a file of its own");

    write_at(&folder, "app.js", &"new();\n".repeat(9), SystemTime::now());
    let (head, got) = ask(&page, "/app.js", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(head.headers()[header::CONTENT_ENCODING], "gzip", "compressed here");
    assert_ne!(got, "gzip");
}

#[tokio::test]
async fn a_large_file_is_sent_as_it_is_read_and_has_a_tag() {
    let folder = folder();
    let bytes = 40 * 1024 * 1024;
    let large = File::create(folder.path().join("video.mp4")).unwrap();
    large.set_len(bytes).unwrap();
    let page = Page::in_folder(&folder).unwrap();
    let request = Request::get("/video.mp4").body(()).unwrap();
    let response = page.respond(&request).await;
    assert_eq!(response.headers()[header::CONTENT_LENGTH], bytes.to_string());
    let tag = etag(response.headers()).to_owned();
    let mut body = response.into_body();
    let (mut received, mut largest) = (0, 0);
    while let Some(frame) = body.frame().await {
        let chunk = frame.unwrap().into_data().unwrap().len();
        (received, largest) = (received + chunk as u64, largest.max(chunk));
    }
    assert_eq!(received, bytes);
    assert!(largest <= 64 * 1024, "{largest} bytes at once");
    let (again, _) = ask(&page, "/video.mp4", &[("if-none-match", &tag)]).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);

    // Cut while it is read: what has been promised cannot come any more.
    let mut body = page.respond(&request).await.into_body();
    body.frame().await.unwrap().unwrap();
    large.set_len(100).unwrap();
    let mut last = Ok(());
    while let Some(frame) = body.frame().await {
        last = frame.map(drop).map_err(|error| error.kind());
        if last.is_err() {
            break;
        }
    }
    assert_eq!(last, Err(std::io::ErrorKind::UnexpectedEof));
}

/// More than may be held is served all the same, byte for byte.
#[tokio::test]
async fn more_files_than_there_is_room_for_are_all_served() {
    let folder = folder();
    let content = |n: u8| String::from(char::from(b'a' + n)).repeat(12 * 1024 * 1024);
    for n in 0..8 {
        write(&folder, &format!("{n}.txt"), &content(n));
    }
    let page = Page::in_folder(&folder).unwrap();
    // Their readers have taken nothing yet.
    let mut responses = Vec::new();
    for n in 0..8 {
        let request = Request::get(format!("/{n}.txt")).body(()).unwrap();
        responses.push(page.respond(&request).await);
    }
    for (n, response) in (0..).zip(responses) {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body == content(n).as_bytes(), "{n}.txt");
    }

    // When nobody reads them any more, what is kept of them makes room for others: this one takes
    // several megabytes, compressed.
    let mut state = 1_u32;
    let digits = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + u8::try_from(state >> 28).unwrap())
    });
    write(&folder, "digits.txt", &digits.take(12 * 1024 * 1024).collect::<String>());
    let (head, body) = ask(&page, "/digits.txt", &[("accept-encoding", "gzip")]).await;
    assert_eq!(head.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(body.len() > 5 * 1024 * 1024, "{}", body.len());
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_within_the_folder_and_never_out_of_it() {
    use std::os::unix::fs::symlink;

    let outside = TempDir::new().unwrap();
    write(&outside, "secret.txt", "secret");
    let folder = folder();
    let path = folder.path();
    symlink(outside.path().join("secret.txt"), path.join("out.txt")).unwrap();
    symlink(outside.path(), path.join("out")).unwrap();
    symlink("/", path.join("root")).unwrap();
    symlink("loop.txt", path.join("loop.txt")).unwrap();
    symlink("app.js", path.join("link.js")).unwrap();
    symlink(".hidden", path.join("shown")).unwrap();
    write(&folder, ".hidden/a.txt", "as Kubernetes mounts files");
    std::process::Command::new("mkfifo").arg(path.join("pipe.txt")).status().unwrap();

    let page = Page::in_folder(&folder).unwrap();
    assert_eq!(text(&page, "/link.js").await, text(&page, "/app.js").await);
    assert_eq!(text(&page, "/shown/a.txt").await, "as Kubernetes mounts files");
    for path in [
        "/out.txt",
        "/out/secret.txt",
        "/root/etc/passwd.txt",
        "/loop.txt",
        "/pipe.txt",
        "/.hidden/a.txt",
        "/link.js/",
        "/app.js/x.js",
    ] {
        let missing = is_missing(&page, path).await;
        // A path that ends with a slash is a place.
        assert!(missing || path.ends_with('/'), "{path}");
    }
}

/// As people deploy: the new release beside the old one, then the link.
#[cfg(unix)]
#[tokio::test]
async fn a_link_to_the_folder_may_be_switched() {
    use std::os::unix::fs::symlink;

    let releases = TempDir::new().unwrap();
    write(&releases, "1/index.html", "one");
    write(&releases, "2/index.html", "two");
    let current = releases.path().join("current");
    symlink("1", &current).unwrap();
    let page = Page::in_folder(&current).unwrap();
    assert_eq!(text(&page, "/").await, "one");
    symlink("2", releases.path().join("next")).unwrap();
    fs::rename(releases.path().join("next"), &current).unwrap();
    assert_eq!(text(&page, "/").await, "two");
}

#[tokio::test]
async fn a_folder_that_holds_no_page_is_refused() {
    let folder = TempDir::new().unwrap();
    let refused = |path: &Path| Page::in_folder(path).unwrap_err();
    assert!(matches!(refused(folder.path()), FolderError::NoIndex(_)));
    let missing = folder.path().join("missing");
    assert!(matches!(refused(&missing), FolderError::Missing(_)));
    write(&folder, "file", "");
    assert!(matches!(refused(&folder.path().join("file")), FolderError::NotAFolder(_)));
    fs::create_dir(folder.path().join("index.html")).unwrap();
    assert!(matches!(refused(folder.path()), FolderError::NoIndex(_)), "a folder is no page");
    #[cfg(unix)]
    {
        let path = folder.path().join("loop");
        std::os::unix::fs::symlink("loop", &path).unwrap();
        assert!(matches!(refused(&path), FolderError::Unreadable { .. }));
    }

    let page = Page::in_folder_to_come(&missing);
    assert!(is_missing(&page, "/").await);
    write(&folder, "missing/index.html", "there");
    assert_eq!(text(&page, "/").await, "there");
}
