//! A failed call: what the person can do, and all details for a report.

use leptos::ev::MouseEvent;
use leptos::prelude::*;
use runnel_client::{CallError, code_name};
use runnel_web::words;
use web_sys::HtmlElement;

use crate::browser::focus::keep_focus_in_panel;
use crate::browser::page::{is_over_http1, reload};

/// Shows what failed, what to do, the server's message, a button to try again, and one to reload the page
/// if that may help.
#[component]
pub(crate) fn Problem(
    error: CallError,
    testid: &'static str,
    /// A sentence that says what to do if the call asked for too much.
    less: &'static str,
    retry: impl Fn() + 'static,
) -> impl IntoView {
    let (headline, advice) = (words::headline(&error), words::advice(&error, less));
    let crowded = words::crowded(&error).filter(|_| is_over_http1());
    let wants_reload = error.wants_reload();
    let code = code_name(error.code());
    let detail = error.detail().to_owned();
    let violations = match error {
        CallError::Refused { violations, .. } => violations,
        _ => Vec::new(),
    };
    // A server that found one field wrong says so twice: once is enough.
    let said = !detail.is_empty() && violations.iter().all(|v| v.description != detail);
    let try_again = move |event: MouseEvent| {
        // This button goes with the problem, and must not take the focus along.
        keep_focus_in_panel(&event_target::<HtmlElement>(&event));
        retry();
    };
    view! {
        <div class="problem" role="alert" data-testid=testid>
            <p class="problem-title">
                <strong>{headline}</strong>
                " "
                <span>{advice}</span>
            </p>
            {crowded.map(|words| view! { <p>{words}</p> })}
            <p class="problem-said notranslate" translate="no">
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
                    view! {
                        <dl class="violations notranslate" translate="no">
                            {entries}
                        </dl>
                    }
                })}
            <div class="buttons">
                <button type="button" class="button" data-testid="retry" on:click=try_again>
                    "Try again"
                </button>
                {wants_reload
                    .then(|| {
                        view! {
                            <button
                                type="button"
                                class="button"
                                data-testid="reload"
                                on:click=move |_| reload()
                            >
                                "Reload the page"
                            </button>
                        }
                    })}
            </div>
        </div>
    }
}
