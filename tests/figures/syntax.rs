//! Reads functions and branches on a dialect from the syntax tree of a file.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::code::Source;

/// A function with a body.
pub(crate) struct Function {
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
    pub(crate) name: String,
    /// From its signature to its closing brace.
    pub(crate) lines: usize,
    /// The lines between its braces that hold code, as clippy counts them.
    pub(crate) code_lines: usize,
}

/// A match arm, a comparison or a `matches!` that names a dialect.
pub(crate) struct Branch {
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
    pub(crate) dialect: String,
}

/// Reads a file.
pub(crate) fn read(source: &Source) -> Found<'_> {
    let file: syn::File = syn::parse2(source.tokens.clone())
        .unwrap_or_else(|error| panic!("{}: {error}", source.path.display()));
    let mut found = Found {
        source,
        functions: Vec::new(),
        branches: Vec::new(),
        own: false,
    };
    found.visit_file(&file);
    found
}

/// Functions and branches of one file.
pub(crate) struct Found<'a> {
    source: &'a Source,
    pub(crate) functions: Vec<Function>,
    pub(crate) branches: Vec<Branch>,
    /// Within `impl DialectId`, where `Self::` names a dialect.
    own: bool,
}

impl Found<'_> {
    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let braces = &body.brace_token.span;
        let first = signature.span().start().line;
        let (open, close) = (braces.open().start().line, braces.close().end().line);
        let mut with_code = BTreeSet::new();
        lines_with_code(body.to_token_stream(), &mut with_code);
        let code_lines = with_code.range(open + 1..close.max(open + 1)).count();
        self.functions.push(Function {
            path: self.source.path.clone(),
            line: first,
            name: signature.ident.to_string(),
            lines: close - first + 1,
            code_lines,
        });
    }

    fn branch(&mut self, tokens: TokenStream, span: proc_macro2::Span) {
        if let Some(dialect) = named_dialect(tokens, self.own) {
            self.branches.push(Branch {
                path: self.source.path.clone(),
                line: span.start().line,
                dialect,
            });
        }
    }
}

impl<'ast> Visit<'ast> for Found<'_> {
    fn visit_item_fn(&mut self, it: &'ast syn::ItemFn) {
        self.function(&it.sig, &it.block);
        visit::visit_item_fn(self, it);
    }

    fn visit_impl_item_fn(&mut self, it: &'ast syn::ImplItemFn) {
        self.function(&it.sig, &it.block);
        visit::visit_impl_item_fn(self, it);
    }

    fn visit_trait_item_fn(&mut self, it: &'ast syn::TraitItemFn) {
        if let Some(body) = &it.default {
            self.function(&it.sig, body);
        }
        visit::visit_trait_item_fn(self, it);
    }

    fn visit_item_impl(&mut self, it: &'ast syn::ItemImpl) {
        let outside = self.own;
        self.own = it.self_ty.to_token_stream().to_string() == "DialectId";
        visit::visit_item_impl(self, it);
        self.own = outside;
    }

    fn visit_arm(&mut self, it: &'ast syn::Arm) {
        self.branch(it.pat.to_token_stream(), it.span());
        visit::visit_arm(self, it);
    }

    fn visit_expr_let(&mut self, it: &'ast syn::ExprLet) {
        self.branch(it.pat.to_token_stream(), it.span());
        visit::visit_expr_let(self, it);
    }

    fn visit_expr_binary(&mut self, it: &'ast syn::ExprBinary) {
        if matches!(it.op, syn::BinOp::Eq(_) | syn::BinOp::Ne(_)) {
            for side in [&it.left, &it.right] {
                if matches!(**side, syn::Expr::Path(_)) {
                    self.branch(side.to_token_stream(), it.span());
                }
            }
        }
        visit::visit_expr_binary(self, it);
    }

    fn visit_macro(&mut self, it: &'ast syn::Macro) {
        if it.path.is_ident("matches") {
            self.branch(it.tokens.clone(), it.span());
        }
        visit::visit_macro(self, it);
    }
}

/// Returns the first dialect that the tokens name: a variant is in camel case; `ALL` and functions
/// are not.
fn named_dialect(tokens: TokenStream, own: bool) -> Option<String> {
    let words: Vec<String> = tokens.into_iter().map(|it| it.to_string()).collect();
    let is_variant =
        |it: &&String| it.starts_with(char::is_uppercase) && it.contains(char::is_lowercase);
    let named = words.windows(4).find_map(|it| {
        let names = it[0] == "DialectId" || (own && it[0] == "Self");
        (names && it[1] == ":" && it[2] == ":").then_some(&it[3])
    });
    named.filter(is_variant).cloned()
}

fn lines_with_code(tokens: TokenStream, lines: &mut BTreeSet<usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                lines.insert(group.span_open().start().line);
                lines.insert(group.span_close().end().line);
                lines_with_code(group.stream(), lines);
            }
            other => lines.extend(other.span().start().line..=other.span().end().line),
        }
    }
}
