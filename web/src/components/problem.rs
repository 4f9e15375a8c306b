//! A failed call, in words a person can act on, with all there is to report it by.

use leptos::prelude::*;
use runnel_web::api::{ApiError, code_name};
use runnel_web::words;

/// What failed, what to do about it, what the server said, and a way to try again.
#[component]
pub(crate) fn Problem(
    error: ApiError,
    testid: &'static str,
    retry: impl Fn() + 'static,
) -> impl IntoView {
    let (headline, advice) = (words::headline(&error), words::advice(&error));
    let code = code_name(error.code());
    let detail = words::detail(&error).to_owned();
    let violations = match error {
        ApiError::Refused { violations, .. } => violations,
        _ => Vec::new(),
    };
    // A server that found one field wrong says so twice: once is enough.
    let said = !detail.is_empty() && violations.iter().all(|v| v.description != detail);
    view! {
        <div class="problem" role="alert" data-testid=testid>
            <p class="problem-title">
                <strong>{headline}</strong>
                " "
                <span>{advice}</span>
            </p>
            <p class="problem-said">
                <code class="code">{code}</code>
                {said.then(|| view! { " " <span>{detail}</span> })}
            </p>
            {(!violations.is_empty())
                .then(|| {
                    let entries = violations
                        .into_iter()
                        .map(|v| {
                            view! {
                                <dt>
                                    <code>{v.field}</code>
                                </dt>
                                <dd>{v.description}</dd>
                            }
                        })
                        .collect_view();
                    view! { <dl class="violations">{entries}</dl> }
                })}
            <button type="button" class="button" data-testid="retry" on:click=move |_| retry()>
                "Try again"
            </button>
        </div>
    }
}
