//! A plain `trunk serve` should work too: tools PATH does not know are linked where it looks.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use crate::workspace::{cargo_bin, step, which};

/// Links `program` in cargo's bin folder to `exe`, unless PATH has another `program` or the name
/// there belongs to somebody else. A failure costs a convenience, so it is told and no more.
pub(super) fn offer(program: &str, exe: &Path, tools: &Path) {
    let Some(bin) = cargo_bin() else { return };
    let link = bin.join(program);
    if which(program).is_some_and(|found| found != link) {
        return;
    }
    match renew(&link, exe, tools) {
        Ok(true) => step(format!("linked {} to {}", link.display(), exe.display())),
        Ok(false) => {}
        Err(error) => step(format!("{program} is not linked into {}: {error}", bin.display())),
    }
}

/// Makes or moves the link; false if it was right already or is not ours to touch.
#[cfg(unix)]
fn renew(link: &Path, exe: &Path, tools: &Path) -> io::Result<bool> {
    match fs::read_link(link) {
        Ok(target) if target == exe || !target.starts_with(tools) => return Ok(false),
        Ok(_) => fs::remove_file(link)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::InvalidInput => return Ok(false), // a real file
        Err(error) => return Err(error),
    }
    if let Some(bin) = link.parent() {
        fs::create_dir_all(bin)?;
    }
    std::os::unix::fs::symlink(exe, link)?;
    Ok(true)
}

#[cfg(not(unix))]
fn renew(_link: &Path, _exe: &Path, _tools: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_a_link_of_ours_is_ever_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (tools, bin) = (dir.path().join("tools"), dir.path().join("bin"));
        let (old, new) = (tools.join("trunk-1/bin/trunk"), tools.join("trunk-2/bin/trunk"));
        let link = bin.join("trunk");

        assert!(renew(&link, &old, &tools).unwrap(), "nothing there: made, folder and all");
        assert!(!renew(&link, &old, &tools).unwrap(), "right already");
        assert!(renew(&link, &new, &tools).unwrap(), "an older one of ours, dangling even");
        assert_eq!(fs::read_link(&link).unwrap(), new);

        fs::remove_file(&link).unwrap();
        symlink("/somewhere/else", &link).unwrap();
        assert!(!renew(&link, &new, &tools).unwrap(), "somebody else's link");
        fs::remove_file(&link).unwrap();
        fs::write(&link, "a program").unwrap();
        assert!(!renew(&link, &new, &tools).unwrap(), "somebody else's file");
        assert_eq!(fs::read_to_string(&link).unwrap(), "a program");
    }
}
