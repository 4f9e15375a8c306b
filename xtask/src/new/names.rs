//! What a product is called: in cargo, in Rust and in its proto.

use anyhow::{Result, ensure};

/// Words of Rust, and names that cargo takes for something else.
const RESERVED: [&str; 54] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "unsafe",
    "use",
];

/// One name in three spellings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The package, such as `shop-floor`.
    pub(super) package: String,
    /// Its crate and its proto package, such as `shop_floor`.
    pub(super) module: String,
    /// Its service, such as `ShopFloor`.
    pub(super) service: String,
}

impl Names {
    /// The names of a product in a folder of this name.
    pub(super) fn of(folder: &str) -> Result<Self> {
        let parts: Vec<&str> = folder.split(['-', '_']).collect();
        let is_word = |part: &&str| {
            part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && part.starts_with(|first: char| first.is_ascii_lowercase())
        };
        ensure!(
            parts.iter().all(is_word),
            "a product cannot be called {folder:?}: a name has lower-case letters and digits, in words \
             with - or _ between them, and each word begins with a letter, as in shop-floor"
        );
        ensure!(
            !RESERVED.contains(&folder) && !folder.starts_with("runnel"),
            "a product cannot be called {folder}: cargo, Rust or Runnel has that name"
        );
        let capitalized = |part: &&str| part[..1].to_ascii_uppercase() + &part[1..];
        Ok(Self {
            package: folder.to_owned(),
            module: parts.join("_"),
            service: parts.iter().map(capitalized).collect(),
        })
    }

    /// Fails if a dependency has the name of one of its packages.
    pub(super) fn differ_from_packages(&self, lock: &str) -> Result<()> {
        for suffix in ["", "-page", "-proto"] {
            let package = format!("{}{suffix}", self.package);
            ensure!(
                !lock.lines().any(|line| line == format!("name = \"{package}\"")),
                "a product cannot be called {}: {package} is a package that Runnel is made of",
                self.package
            );
        }
        Ok(())
    }

    /// Fails if the code has another meaning for the name of the service.
    pub(super) fn differ_from_words<'a>(
        &self,
        mut code: impl Iterator<Item = &'a str>,
    ) -> Result<()> {
        let is_word = |text: &str| {
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            words.any(|word| word == self.service)
        };
        ensure!(
            !code.any(is_word),
            "a product cannot be called {}: that word stands in the template for something else",
            self.package
        );
        Ok(())
    }

    /// A text of the template with these names.
    pub(super) fn written(&self, text: &str) -> String {
        text.replace("my-product", &self.package)
            .replace("my_product", &self.module)
            .replace("MyProduct", &self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_spelled_as_each_place_needs_it() {
        let names = Names::of("shop-floor2").unwrap();
        let text = names.written("my-product my_product.v1.MyProduct");
        assert_eq!(text, "shop-floor2 shop_floor2.v1.ShopFloor2");
        assert_eq!(Names::of("a_b").unwrap().service, "AB");
    }

    #[test]
    fn bad_names_are_refused() {
        for name in [
            "", "7up", "Shop", "shop-", "-shop", "a--b", "a-7", "läden", "a.b", "a b", "fn", "test",
        ] {
            let error = Names::of(name).unwrap_err().to_string();
            assert!(error.starts_with("a product cannot be called"), "{name}: {error}");
        }
        assert!(Names::of("runnel-shop").is_err());
        let lock = "[[package]]\nname = \"shop-proto\"\n";
        assert!(Names::of("shop").unwrap().differ_from_packages(lock).is_err());
        assert!(Names::of("shops").unwrap().differ_from_packages(lock).is_ok());
        let code = || ["use tonic::Status;"].into_iter();
        assert!(Names::of("status").unwrap().differ_from_words(code()).is_err());
        assert!(Names::of("stat").unwrap().differ_from_words(code()).is_ok());
    }
}
