//! The library's interface as a list, so that a change of it is seen in review.
//!
//! The source is parsed from `src/lib.rs` on: every public name that an embedder can reach, without what
//! is hidden from the documentation, is compared with `tests/api.txt`. `UPDATE_GENERATED=1 cargo test
//! --test api` writes that file. Fields of plain data are listed, but not counted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use quote::ToTokens as _;
use syn::{Attribute, Fields, ImplItem, Item, Signature, TraitItem, Type, UseTree, Visibility};

/// LIMIT: a small interface can be learned in an afternoon and kept stable.
const ITEMS_MAX: usize = 150;

#[test]
fn the_interface_is_the_listed_one_and_small() {
    let api = Api::read();
    let text = api.lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let listed = root().join("tests/api.txt");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&listed, &text).expect("the list is writable");
    }
    let before = fs::read_to_string(&listed).expect("tests/api.txt");
    assert_eq!(before, text, "the interface has changed: UPDATE_GENERATED=1 cargo test --test api");
    let items = api.lines.iter().filter(|line| !line.starts_with("field ")).count();
    assert!(items < ITEMS_MAX, "{items} items, {ITEMS_MAX} are too many");
}

#[test]
fn the_list_has_what_embedders_call_and_nothing_internal() {
    let lines = Api::read().lines;
    for known in ["struct Config", "fn Balancer::start", "fn Handle::drain", "variant StartError::Bind"] {
        let is_listed = lines.iter().any(|line| line.starts_with(known));
        assert!(is_listed, "{known} is missing: the source is not followed");
    }
    let leaked = lines.iter().find(|line| line.contains("Operations") || line.contains("internal"));
    assert_eq!(leaked, None);
}

#[derive(Default)]
struct Api {
    lines: BTreeSet<String>,
}

impl Api {
    fn read() -> Self {
        let mut api = Self::default();
        let lib = root().join("src/lib.rs");
        api.module("", &lib);
        api
    }

    /// Adds the public items of the module in `file`.
    fn module(&mut self, prefix: &str, file: &Path) {
        for item in items(file) {
            match &item {
                Item::Mod(inner) if is_shown(&inner.vis, &inner.attrs) => {
                    self.lines.insert(format!("mod {prefix}{}", inner.ident));
                    let file = module_file(file, &inner.ident.to_string());
                    self.module(&format!("{prefix}{}::", inner.ident), &file);
                }
                Item::Use(reexport) if is_shown(&reexport.vis, &reexport.attrs) => {
                    for path in paths(&reexport.tree) {
                        self.named(prefix, file, &path);
                    }
                }
                _ => self.item(prefix, file, &item),
            }
        }
    }

    /// Adds the item that a re-export in `file` names.
    fn named(&mut self, prefix: &str, file: &Path, path: &[String]) {
        let Some((name, modules)) = path.split_last() else { return };
        let file = modules.iter().fold(file.to_owned(), |file, module| module_file(&file, module));
        let found = items(&file);
        if let Some(item) = found.iter().find(|item| name_of(item).as_ref() == Some(name)) {
            return self.item(prefix, &file, item);
        }
        let reexports = found.iter().filter_map(|item| match item {
            Item::Use(reexport) => Some(paths(&reexport.tree)),
            _ => None,
        });
        let inner = reexports.flatten().find(|path| path.last() == Some(name));
        let inner = inner.unwrap_or_else(|| panic!("{name} is not in {}", file.display()));
        self.named(prefix, &file, &inner);
    }

    fn item(&mut self, prefix: &str, file: &Path, item: &Item) {
        let Some(name) = name_of(item) else { return };
        let kind = match item {
            Item::Struct(it) if is_shown(&it.vis, &it.attrs) => {
                self.fields(&format!("{prefix}{name}"), &it.fields);
                "struct"
            }
            Item::Enum(it) if is_shown(&it.vis, &it.attrs) => {
                for variant in &it.variants {
                    self.lines.insert(format!("variant {prefix}{name}::{}", variant.ident));
                }
                "enum"
            }
            Item::Trait(it) if is_shown(&it.vis, &it.attrs) => {
                for inner in &it.items {
                    if let TraitItem::Fn(it) = inner {
                        self.lines.insert(format!("fn {prefix}{name}::{}", signature(&it.sig)));
                    }
                }
                "trait"
            }
            Item::Fn(it) if is_shown(&it.vis, &it.attrs) => "fn",
            Item::Const(it) if is_shown(&it.vis, &it.attrs) => "const",
            Item::Type(it) if is_shown(&it.vis, &it.attrs) => "type",
            _ => return,
        };
        self.lines.insert(format!("{kind} {prefix}{name}"));
        self.methods(&format!("{prefix}{name}"), file, &name);
    }

    fn fields(&mut self, name: &str, fields: &Fields) {
        for field in fields.iter().filter(|field| is_shown(&field.vis, &field.attrs)) {
            if let Some(ident) = &field.ident {
                let kind = field.ty.to_token_stream().to_string().replace(' ', "");
                self.lines.insert(format!("field {name}.{ident}: {kind}"));
            }
        }
    }

    /// Adds the public methods of a type: of its inherent impls in the folder where it is defined.
    fn methods(&mut self, shown: &str, file: &Path, name: &str) {
        let folder = file.parent().expect("a file is in a folder");
        let files = fs::read_dir(folder).expect("a readable folder").map(|entry| entry.expect("an entry"));
        let files = files.map(|entry| entry.path());
        for file in files.filter(|path| path.extension().is_some_and(|kind| kind == "rs")) {
            for item in items(&file) {
                let Item::Impl(block) = item else { continue };
                let Type::Path(of) = &*block.self_ty else { continue };
                if block.trait_.is_some() || !of.path.is_ident(name) {
                    continue;
                }
                for inner in &block.items {
                    if let ImplItem::Fn(it) = inner
                        && is_shown(&it.vis, &it.attrs)
                    {
                        self.lines.insert(format!("fn {shown}::{}", signature(&it.sig)));
                    }
                }
            }
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn items(file: &Path) -> Vec<Item> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())).items
}

/// The file of a module that is declared in `file`.
fn module_file(file: &Path, module: &str) -> PathBuf {
    let folder = file.parent().expect("a file is in a folder");
    let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "mod") | None => folder.to_owned(),
        Some(stem) => folder.join(stem),
    };
    let flat = folder.join(format!("{module}.rs"));
    if flat.exists() { flat } else { folder.join(module).join("mod.rs") }
}

/// The paths that a `use` brings in.
fn paths(tree: &UseTree) -> Vec<Vec<String>> {
    match tree {
        UseTree::Path(path) => {
            let mut inner = paths(&path.tree);
            inner.iter_mut().for_each(|rest| rest.insert(0, path.ident.to_string()));
            inner
        }
        UseTree::Name(name) => vec![vec![name.ident.to_string()]],
        UseTree::Group(group) => group.items.iter().flat_map(paths).collect(),
        // Re-exports under another name, or of everything, hide what an interface consists of.
        UseTree::Rename(_) | UseTree::Glob(_) => Vec::new(),
    }
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Struct(it) => &it.ident,
        Item::Enum(it) => &it.ident,
        Item::Trait(it) => &it.ident,
        Item::Fn(it) => &it.sig.ident,
        Item::Const(it) => &it.ident,
        Item::Type(it) => &it.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn is_shown(visibility: &Visibility, attributes: &[Attribute]) -> bool {
    let is_hidden = |attribute: &Attribute| {
        attribute.path().is_ident("doc") && attribute.to_token_stream().to_string().contains("(hidden)")
    };
    matches!(visibility, Visibility::Public(_)) && !attributes.iter().any(is_hidden)
}

/// `start(plan: Plan) -> Result<Self, StartError>`.
fn signature(function: &Signature) -> String {
    let mut text = function.to_token_stream().to_string();
    for (spaced, tight) in [
        (" :: ", "::"),
        (" < ", "<"),
        (" >", ">"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" ,", ","),
        (" :", ":"),
        ("& ", "&"),
        ("' ", "'"),
        ("->", "-> "),
        ("-> ", "->"),
        ("- >", "->"),
        ("->", " -> "),
    ] {
        text = text.replace(spaced, tight);
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.strip_prefix("fn ").map(str::to_owned).unwrap_or(text)
}
