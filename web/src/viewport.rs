//! The arithmetic of a virtual list: which few of many rows to draw, and where.
//!
//! Browsers cap the height of an element (Firefox at 17.9 million px, Chromium at 33.5), so a long
//! list gets a shorter scroll range, over which positions are scaled. Both ends stay exact, and
//! rows keep their height, so the list looks the same; one step of the wheel just goes further.

/// The tallest scroll range in px. Far below every browser's cap, and small enough that the 32-bit
/// floats of their compositors still tell half pixels apart.
pub const MAX_SCROLL_PX: f64 = 8_000_000.0;

/// Rows drawn beyond each edge of what is seen, so that a scroll does not show a gap before the
/// next frame.
const OVERSCAN: usize = 8;

/// A list of equally high rows, seen through a viewport.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Viewport {
    /// Rows in the list.
    pub rows: usize,
    /// Height of a row in px, more than 0.
    pub row_px: f64,
    /// Height of what is seen in px.
    pub view_px: f64,
}

/// The rows to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// Index of the first, from 0.
    pub first: usize,
    /// How many.
    pub count: usize,
    /// Where the first one's top edge is, in px from the top of the scroll range.
    pub top_px: f64,
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "row counts are far below 2^52, and every float is clamped to 0..=rows before its cast"
)]
impl Viewport {
    /// Height of the scroll range in px: that of all rows, capped.
    #[must_use]
    pub fn scroll_px(&self) -> f64 {
        self.content_px().min(MAX_SCROLL_PX.max(self.view_px))
    }

    /// The largest `scroll_top` in px: there the last row ends at the viewport's bottom.
    #[must_use]
    pub fn max_scroll_top(&self) -> f64 {
        (self.scroll_px() - self.view_px).max(0.0)
    }

    /// The rows to draw when the viewport is scrolled to `scroll_top` px. Values beyond the ends,
    /// as elastic scrolling gives, count as the ends.
    #[must_use]
    pub fn slice(&self, scroll_top: f64) -> Slice {
        let scroll_top = scroll_top.clamp(0.0, self.max_scroll_top());
        let content_top = self.content_top(scroll_top);

        let seen_first = ((content_top / self.row_px).floor() as usize).min(self.rows);
        let seen_end = ((content_top + self.view_px) / self.row_px).ceil() as usize;
        let first = seen_first.saturating_sub(OVERSCAN);
        let end = (seen_end + OVERSCAN).min(self.rows);
        Slice {
            first,
            count: end.saturating_sub(first),
            top_px: first as f64 * self.row_px - (content_top - scroll_top),
        }
    }

    /// Height of all rows in px, uncapped.
    fn content_px(&self) -> f64 {
        self.rows as f64 * self.row_px
    }

    /// The place in the uncapped list, in px from its top, that `scroll_top` stands for.
    fn content_top(&self, scroll_top: f64) -> f64 {
        let range = self.max_scroll_top();
        if range == 0.0 {
            return 0.0;
        }
        (scroll_top / range) * (self.content_px() - self.view_px)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "what is exact by design is tested to be exact")]
mod tests {
    use super::*;

    const ROW_PX: f64 = 28.0;
    const VIEW_PX: f64 = 400.0;

    fn list(rows: usize) -> Viewport {
        Viewport { rows, row_px: ROW_PX, view_px: VIEW_PX }
    }

    /// Top and bottom edge of `row` in px from the viewport's top, when it is scrolled there.
    fn edges(list: &Viewport, scroll_top: f64, row: usize) -> Option<(f64, f64)> {
        let slice = list.slice(scroll_top);
        let nth = row.checked_sub(slice.first).filter(|nth| *nth < slice.count)?;
        let top = slice.top_px + f64::from(u32::try_from(nth).unwrap()) * ROW_PX - scroll_top;
        Some((top, top + ROW_PX))
    }

    #[test]
    fn a_list_that_fits_is_drawn_whole_and_does_not_scroll() {
        let list = list(10);
        assert_eq!(list.scroll_px(), 280.0);
        assert_eq!(list.max_scroll_top(), 0.0);
        assert_eq!(list.slice(0.0), Slice { first: 0, count: 10, top_px: 0.0 });
        assert_eq!(self::list(0).slice(0.0), Slice { first: 0, count: 0, top_px: 0.0 });
    }

    #[test]
    fn both_ends_are_reached_exactly_however_long_the_list() {
        for rows in [15, 1_000, 285_714, 285_715, 1_000_000, 10_000_000, 50_000_000] {
            let list = list(rows);
            let (top, _) = edges(&list, 0.0, 0).unwrap();
            assert_eq!(top, 0.0, "{rows} rows");
            let (_, bottom) = edges(&list, list.max_scroll_top(), rows - 1).unwrap();
            assert!((bottom - VIEW_PX).abs() < 0.01, "{rows} rows end at {bottom}");
        }
    }

    #[test]
    fn the_scroll_range_stays_below_what_browsers_can_do() {
        assert_eq!(list(1_000).scroll_px(), 28_000.0);
        assert_eq!(list(1_000_000).scroll_px(), MAX_SCROLL_PX);
        assert_eq!(list(i32::MAX as usize).scroll_px(), MAX_SCROLL_PX);
    }

    #[test]
    fn every_row_of_ten_million_can_be_seen_whole_at_some_whole_pixel() {
        let list = list(10_000_000);
        // 35 px of list for one of scrolling: what one pixel shows must overlap what the next does.
        let mut seen_up_to = 0.0;
        for step in 0..200_000 {
            let scroll_top = f64::from(step);
            let content_top = list.content_top(scroll_top);
            assert!(content_top <= seen_up_to - ROW_PX || step == 0, "a gap at {scroll_top} px");
            seen_up_to = content_top + VIEW_PX;
        }
    }

    #[test]
    fn scrolling_down_never_goes_back_and_never_draws_many_rows() {
        for rows in [1_000, 1_000_000, 10_000_000] {
            let list = list(rows);
            let mut last = 0;
            for step in 0..=1_000 {
                let scroll_top = list.max_scroll_top() * f64::from(step) / 1_000.0;
                let slice = list.slice(scroll_top);
                assert!(slice.first >= last, "{rows} rows at {scroll_top}");
                assert!(slice.count <= 16 + 2 * OVERSCAN, "{} rows drawn", slice.count);
                assert!(slice.first + slice.count <= rows);
                last = slice.first;
            }
        }
    }

    #[test]
    fn what_is_seen_is_covered_by_what_is_drawn_at_every_position() {
        for rows in [100, 1_000_000] {
            let list = list(rows);
            for step in 0..=997 {
                let scroll_top = list.max_scroll_top() * f64::from(step) / 997.0;
                let slice = list.slice(scroll_top);
                let end_px = slice.top_px + f64::from(u32::try_from(slice.count).unwrap()) * ROW_PX;
                assert!(slice.top_px <= scroll_top + 0.01);
                assert!(end_px >= scroll_top + VIEW_PX - 0.01);
            }
        }
    }

    #[test]
    fn positions_beyond_the_ends_count_as_the_ends() {
        let list = list(1_000_000);
        assert_eq!(list.slice(-50.0), list.slice(0.0));
        assert_eq!(list.slice(f64::MAX), list.slice(list.max_scroll_top()));
    }
}
