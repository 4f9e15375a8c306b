//! A list of any number of rows, of which only those in view are in the DOM.

use leptos::html::Div;
use leptos::prelude::*;
use runnel_web::viewport::Viewport;

use crate::browser::resize::follow_height;
use crate::feed::Feed;
use crate::phase::Phase;

/// Height of a row in px; `--row` in tokens.css says the same.
const ROW_PX: f64 = 28.0;

/// The rows of `feed`, scrolled by mouse, touch and keys.
#[component]
pub(crate) fn VirtualList(
    feed: Feed,
    /// The name of the list for assistive technology.
    label: &'static str,
    testid: &'static str,
    /// The text that is shown while there are no rows.
    nothing: Signal<&'static str>,
    /// While a call runs, the length of the list is unknown to assistive technology too.
    #[prop(into)]
    phase: Signal<Phase>,
    /// Whether to keep the newest row in view; scrolling up turns it off.
    #[prop(optional)]
    follow: RwSignal<bool>,
) -> impl IntoView {
    let list = NodeRef::<Div>::new();
    let view_px = RwSignal::new(0.0);
    let scroll_top = RwSignal::new(0.0);

    let count = Memo::new(move |_| feed.progress.get().count);
    let run = Memo::new(move |_| feed.progress.get().run);
    let viewport =
        Memo::new(move |_| Viewport { rows: count.get(), row_px: ROW_PX, view_px: view_px.get() });
    let slice = Memo::new(move |_| viewport.get().slice(scroll_top.get()));
    let size =
        Memo::new(move |_| if phase.with(Phase::is_running) { None } else { Some(count.get()) });

    // Where the page itself last scrolled to: elsewhere, the person did.
    let placed = StoredValue::new(0);
    let scroll_to = move |px: f64| {
        if let Some(list) = list.get_untracked() {
            list.scroll_to_with_x_and_y(0.0, px);
            placed.set_value(list.scroll_top());
            // Its event comes a frame later; without this, that frame would be blank.
            scroll_top.set(f64::from(list.scroll_top()));
        }
    };
    Effect::new(move |_| {
        if let Some(list) = list.get() {
            follow_height(&list, view_px);
        }
    });
    Effect::new(move |_| {
        run.track();
        scroll_to(0.0);
    });
    Effect::new(move |_| {
        let end = viewport.get().max_scroll_top();
        if follow.get() {
            // In the next frame the range is as high as it has to be, if it is still wanted then.
            request_animation_frame(move || {
                if follow.try_get_untracked() == Some(true) {
                    scroll_to(end);
                }
            });
        }
    });
    let on_scroll = move |_| {
        let Some(list) = list.get_untracked() else {
            return;
        };
        let now = list.scroll_top();
        if follow.get_untracked() && now + 1 < placed.get_value() {
            follow.set(false);
        }
        scroll_top.set(f64::from(now));
    };

    let rows = move || {
        let run = run.get();
        let slice = slice.get();
        (slice.first..slice.first + slice.count).map(|index| (run, index)).collect::<Vec<_>>()
    };
    view! {
        <div
            class="list"
            role="list"
            tabindex="0"
            aria-label=label
            aria-busy=move || phase.with(Phase::is_running).to_string()
            data-testid=testid
            node_ref=list
            on:scroll=on_scroll
        >
            <Show when=move || count.get() == 0>
                <p class="nothing" prop:textContent=nothing></p>
            </Show>
            <div
                class="list-range notranslate"
                translate="no"
                role="presentation"
                style:height=move || format!("{}px", viewport.get().scroll_px())
            >
                <div
                    class="list-rows"
                    role="presentation"
                    style:transform=move || format!("translateY({}px)", slice.get().top_px)
                >
                    <For each=rows key=|row| *row let:row>
                        <Row feed index=row.1 size />
                    </For>
                </div>
            </div>
        </div>
    }
}

#[component]
fn Row(
    feed: Feed,
    index: usize,
    /// Rows in the list, once it is known.
    size: Memo<Option<usize>>,
) -> impl IntoView {
    feed.row(index).map(|(id, name)| {
        view! {
            <div
                class="row"
                role="listitem"
                data-id=id
                aria-posinset=index + 1
                aria-setsize=move || size.get().map_or_else(|| "-1".to_owned(), |n| n.to_string())
            >
                <span class="row-id">{id}</span>
                <span class="row-name">{name}</span>
            </div>
        }
    })
}
