//! What the stream's list on the page shows, read row by row as a person could who scrolls.

use runnel_tests::browser::{Browser, element};
use serde_json::json;

use crate::browser::{count, until_state};

/// Lists up to this length are read whole. A row costs a tenth of a millisecond to draw.
const READ_WHOLE: u32 = 10_000;

/// Notes after how many rows the stream broke, each time that it is to be resumed.
const NOTE_BREAKS: &str = "(() => {
    const panel = document.querySelector('.panel-stream');
    const count = panel.querySelector('[data-testid=stream-count]').dataset;
    const breaks = window.breaks = [];
    let whole = true;
    window.breakObserver?.disconnect();
    window.breakObserver = new MutationObserver(() => {
        const broken = ['resuming', 'offline'].includes(panel.dataset.state);
        // What came before the break may be published a moment after it.
        if (broken && !whole) breaks.pop();
        if (broken) breaks.push(Number(count.count));
        whole = !broken;
    });
    const attributeFilter = ['data-state', 'data-count'];
    window.breakObserver.observe(panel, { attributes: true, subtree: true, attributeFilter });
})()";

/// Scrolls through runs of places, each from its first to its last, and looks at every row that is
/// drawn: its place, its id, its name, and that it stands right below the one before it. Gives what was
/// wrong with them, and the places of the runs that it did not see.
const READ: &str = "
    const [length, runs, done] = arguments;
    const list = document.querySelector('[data-testid=stream-list]');
    const frame = () => new Promise(requestAnimationFrame);
    const seen = new Set();
    const wrong = [];

    function look() {
        const rows = [...list.querySelectorAll('.row')];
        const places = rows.map(row => Number(row.ariaPosInSet));
        rows.forEach((row, nth) => {
            const place = places[nth];
            seen.add(place);
            const text = [...row.children].map(cell => cell.textContent).join(': ');
            if (Number(row.dataset.id) !== place || text !== `${place}: name ${place}`) {
                wrong.push(`at ${place}: ${text}`);
            }
            if (nth > 0 && place !== places[nth - 1] + 1) {
                wrong.push(`${place} below ${places[nth - 1]}`);
            }
        });
        return places;
    }

    // Scrolls to where a row is whole in view; the places around it that are drawn.
    async function at(place) {
        const range = list.scrollHeight - list.clientHeight;
        list.scrollTop = range * (place - 1) / Math.max(length - 1, 1);
        for (;;) {
            await frame();
            if ([...list.querySelectorAll('.row')].some(row => row.ariaPosInSet == place)) {
                return look();
            }
        }
    }

    (async () => {
        for (const [first, last] of runs) {
            // Many rows at a time, where many are to be read.
            list.style.flex = last - first > 100 ? 'none' : '';
            list.style.blockSize = last - first > 100 ? '28000px' : '';
            for (let place = first; place <= last;) {
                place = (await at(place)).at(-1) + 1;
            }
        }
        list.style.flex = list.style.blockSize = '';
        const unread = [];
        for (const [first, last] of runs) {
            for (let place = first; place <= last; place++) seen.has(place) || unread.push(place);
        }
        done({ wrong: wrong.slice(0, 10), unread: unread.slice(0, 10) });
    })();
";

/// Starts a stream of `length` items.
pub(crate) async fn stream(page: &Browser, length: u32) {
    page.eval(NOTE_BREAKS).await;
    page.fill("stream-length", &length.to_string()).await;
    page.click("stream-start").await;
}

/// After how many rows the stream that [`stream`] started broke, each time that it did.
async fn breaks(page: &Browser) -> Vec<u32> {
    serde_json::from_value(page.eval("window.breaks").await).unwrap()
}

/// Waits for the end of a stream that [`stream`] started and looks whether each row stands at the place
/// of its id. A list of up to [`READ_WHOLE`] rows is read whole. Of a longer one, which takes minutes to
/// draw, it reads what is around each place where the stream broke, for there a row might be lost or
/// doubled, and around a hundred places more: where the rows at two of them are right, as many would
/// have to be doubled between them as are lost.
pub(crate) async fn ends_with_every_row(page: &Browser, length: u32) {
    until_state(page, "stream-list", "finished").await;
    assert_eq!(page.eval(&count()).await, json!(length));
    let runs: Vec<(u32, u32)> = if length <= READ_WHOLE {
        vec![(1, length)]
    } else {
        let around = |at: u32| (at.saturating_sub(1000).max(1), (at + 1000).min(length));
        let sample = (0..=100).map(|nth| 1 + (length - 1) / 100 * nth).chain([length]);
        breaks(page).await.into_iter().map(around).chain(sample.map(|at| (at, at))).collect()
    };
    let read = page.run(READ, vec![json!(length), json!(runs)]).await.unwrap();
    assert_eq!(read["wrong"], json!([]), "of {runs:?}");
    assert_eq!(read["unread"], json!([]), "of {runs:?}");
}

/// What the line says that tells how the stream stands.
pub(crate) async fn status(page: &Browser) -> String {
    let status = page.eval(&format!("{}.innerText", element("stream-status"))).await;
    status.as_str().unwrap().to_owned()
}
