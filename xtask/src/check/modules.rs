//! No modules of a crate import each other in circles: whoever reads one must be able to stop somewhere
//! (`CODE_STYLE.md`).
//!
//! The modules beside each other in one folder are compared, at every depth: `a/x.rs` that uses `crate::b::y` is
//! an import of `b` by `a`. What a parent re-exports counts as an import of the child that it comes from. What a
//! child takes of its parent's own is not counted, nor are tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemMod, ItemUse, Macro, Meta, UseTree,
    visit::{self, Visit},
};

use crate::workspace::{Workspace, step};

/// Such as `["rpc", "deadline"]`; the root of a crate is empty.
type ModulePath = Vec<String>;

/// Folders with crates, or a crate.
const SOURCES: [&str; 7] = ["bench", "crates", "protos", "server", "tests", "web", "xtask"];

/// Fails if there is a circle, and names its imports.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let (mut circles, mut count) = (Vec::new(), 0);
    for folder in crate_folders(&workspace.root)? {
        let modules = Modules::read(&folder.join("src"))?;
        count += modules.uses.len();
        let name = folder.strip_prefix(&workspace.root).unwrap_or(&folder).display().to_string();
        circles.extend(modules.circles().into_iter().map(|circle| format!("{name}: {circle}")));
    }
    ensure!(circles.is_empty(), "modules import each other in circles:\n{}", circles.join("\n"));
    step(format!("{count} modules, none import each other in circles"));
    Ok(())
}

/// The folders with a `src` in them.
fn crate_folders(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in SOURCES.map(|folder| root.join(folder)) {
        let inner = fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))?;
        let inner = inner.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        found
            .extend(inner.into_iter().chain([folder]).filter(|folder| folder.join("src").is_dir()));
    }
    found.sort();
    Ok(found)
}

/// What the modules of a crate use, as absolute paths in that crate.
#[derive(Default)]
struct Modules {
    uses: BTreeMap<ModulePath, Vec<ModulePath>>,
    /// What each module imports, by the name it has there: it may be imported on from it.
    imported: BTreeMap<ModulePath, BTreeMap<String, ModulePath>>,
}

impl Modules {
    fn read(source: &Path) -> Result<Self> {
        let mut modules = Self::default();
        modules.read_folder(source, &[])?;
        Ok(modules)
    }

    fn read_folder(&mut self, folder: &Path, module: &[String]) -> Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let inner = || module.iter().cloned().chain([stem.clone()]).collect::<ModulePath>();
            if path.is_dir() {
                self.read_folder(&path, &inner())?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let is_parent = matches!(&*stem, "lib" | "main" | "mod") || module == ["bin"];
                let module = if is_parent { module.to_vec() } else { inner() };
                // Tests in a file of their own.
                if module.last().is_none_or(|name| name != "tests") {
                    let text = fs::read_to_string(&path)?;
                    self.add(module, &text).with_context(|| path.display().to_string())?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, module: ModulePath, text: &str) -> Result<()> {
        let file = syn::parse_file(text)?;
        self.uses.entry(module.clone()).or_default();
        Reader { modules: self, module }.visit_file(&file);
        Ok(())
    }

    /// The module that `path` names something in, re-exports followed.
    fn module_of(&self, path: &[String]) -> ModulePath {
        let mut path = path.to_vec();
        // A re-export of a re-export is as deep as anybody goes.
        for _ in 0..3 {
            let known = (0..=path.len()).rev().find(|end| self.uses.contains_key(&path[..*end]));
            let end = known.unwrap_or_default();
            let named = path.get(end).and_then(|name| self.imported.get(&path[..end])?.get(name));
            match named {
                Some(from) => path = from.clone(),
                None => return path[..end].to_vec(),
            }
        }
        path
    }

    /// Each as `a -> b -> a`, with the modules that do so.
    fn circles(&self) -> Vec<String> {
        let mut imports: BTreeMap<ModulePath, BTreeMap<ModulePath, String>> = BTreeMap::new();
        for (module, uses) in &self.uses {
            for path in uses {
                let used = self.module_of(path);
                let common = module.iter().zip(&used).take_while(|(a, b)| a == b).count();
                if common < module.len() && common < used.len() {
                    let by = format!("{} uses {}", module.join("::"), path.join("::"));
                    let importer = imports.entry(module[..=common].to_vec()).or_default();
                    importer.entry(used[..=common].to_vec()).or_insert(by);
                }
            }
        }
        let mut circles = BTreeMap::new();
        for start in imports.keys() {
            if let Some(way) = way_back(&imports, start) {
                let members: BTreeSet<_> = way.iter().cloned().collect();
                circles.entry(members).or_insert_with(|| describe(&imports, &way));
            }
        }
        circles.into_values().collect()
    }
}

type Imports = BTreeMap<ModulePath, BTreeMap<ModulePath, String>>;

/// The shortest way of imports from a module to itself, without the end.
fn way_back(imports: &Imports, start: &ModulePath) -> Option<Vec<ModulePath>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in imports.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push(way.iter().cloned().chain([next.clone()]).collect());
                }
            }
        }
        ways = longer;
    }
    None
}

fn describe(imports: &Imports, way: &[ModulePath]) -> String {
    let circle = way.iter().chain(way.first()).map(|module| module.join("::")).collect::<Vec<_>>();
    let next = way.iter().skip(1).chain(way.first());
    let reasons = way.iter().zip(next).map(|(from, to)| format!("    {}\n", imports[from][to]));
    format!("{}\n{}", circle.join(" -> "), reasons.collect::<String>())
}

/// Collects what one module uses.
struct Reader<'a> {
    modules: &'a mut Modules,
    module: ModulePath,
}

impl Reader<'_> {
    /// The absolute form of a path that begins with `crate`, `self` or `super`; None of other paths.
    fn absolute(&self, path: &[String]) -> Option<ModulePath> {
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => self.module.clone(),
            _ => return None,
        };
        let supers = path.iter().take_while(|name| *name == "super").count();
        base.truncate(base.len().saturating_sub(supers));
        base.extend_from_slice(&path[supers.max(1)..]);
        Some(base)
    }

    fn uses(&mut self, path: &[String]) -> Option<ModulePath> {
        let absolute = self.absolute(path)?;
        self.modules.uses.entry(self.module.clone()).or_default().push(absolute.clone());
        Some(absolute)
    }

    fn imports(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| {
            before.iter().cloned().chain([name.to_string()]).collect::<ModulePath>()
        };
        match tree {
            UseTree::Path(path) => self.imports(&with(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.imports(before, tree)),
            UseTree::Name(name) if name.ident == "self" => {
                self.import(before, before.last().cloned().unwrap_or_default());
            }
            UseTree::Name(name) => self.import(&with(&name.ident), name.ident.to_string()),
            UseTree::Rename(renamed) => {
                self.import(&with(&renamed.ident), renamed.rename.to_string());
            }
            UseTree::Glob(_) => self.import(before, "*".to_owned()),
        }
    }

    fn import(&mut self, path: &[String], name: String) {
        if let Some(absolute) = self.uses(path) {
            self.modules.imported.entry(self.module.clone()).or_default().insert(name, absolute);
        }
    }
}

impl Visit<'_> for Reader<'_> {
    fn visit_item(&mut self, item: &Item) {
        let attributes = match item {
            Item::Fn(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Mod(it) => &it.attrs,
            Item::Use(it) => &it.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &ItemMod) {
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        self.imports(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.uses(&names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &Macro) {
        self.tokens(call.tokens.clone());
    }
}

impl Reader<'_> {
    /// What a macro is given is no syntax yet: `crate::a::b` in it is looked for.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut names = Vec::new();
        for token in tokens {
            match token {
                TokenTree::Ident(name) => names.push(name.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                other => {
                    self.uses(&std::mem::take(&mut names));
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.uses(&names);
    }
}

/// `#[cfg(test)]`, `#[cfg(any(test, fuzzing))]` and the like.
fn is_for_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    let names_tests = |token: TokenTree| match token {
        TokenTree::Ident(name) => name == "test",
        TokenTree::Group(group) => group.stream().to_string().starts_with("test"),
        _ => false,
    };
    list.path.is_ident("cfg") && list.tokens.clone().into_iter().any(names_tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let mut modules = Modules::default();
        for (path, text) in files {
            let path =
                path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            modules.add(path, text).unwrap();
        }
        let firsts = modules.circles().into_iter();
        firsts.map(|circle| circle.lines().next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_circle_is_found_however_it_is_written() {
        let root = ("", "pub mod a; pub mod b;");
        for (a, b) in [
            ("use crate::b::B;", "use super::a;"),
            ("fn f() { crate::b::f() }", "use crate::{a::{self, A}, c};"),
            ("fn f() { log!(\"{}\", crate::b::f()) }", "struct B { a: super::a::A }"),
        ] {
            assert_eq!(circles(&[root, ("a", a), ("b", b)]), ["a -> b -> a"], "{a} {b}");
        }
        let reexport = ("", "mod a; mod b; pub use self::a::A;");
        let (a, b) = (("a", "use crate::b::B;"), ("b", "use crate::A;"));
        assert_eq!(circles(&[reexport, a, b]), ["a -> b -> a"]);
        let (a, b, c) =
            (("m::a", "use super::b;"), ("m::b", "use super::c;"), ("m::c", "use super::a;"));
        assert_eq!(circles(&[root, ("m", ""), a, b, c]), ["m::a -> m::b -> m::c -> m::a"]);
        let (inner, other) = (("a::x", "use crate::b::B;"), ("b::y", "use crate::a::x::X;"));
        assert_eq!(circles(&[root, ("a", ""), inner, ("b", ""), other]), ["a -> b -> a"]);
    }

    #[test]
    fn what_is_no_circle_passes() {
        let root = ("", "pub mod a; pub mod b;");
        for (a, b) in [
            ("use crate::b::B;", "use std::io;"),
            ("use crate::b::B;", "#[cfg(test)] mod tests { use crate::a::A; }"),
            ("use crate::b::B;", "use crate::Root;"),
            ("use self::x::X; mod x { use super::Y; }", ""),
        ] {
            assert_eq!(circles(&[root, ("a", a), ("b", b)]), [""; 0], "{a} {b}");
        }
    }
}
