//! Knowing an element's height, whatever changes it.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{Element, ResizeObserver};

/// The inner height of `element` in px, followed until the current component is cleaned up.
pub(crate) fn follow_height(element: &Element, height_px: RwSignal<f64>) {
    let measured = element.clone();
    let measure = move || height_px.set(f64::from(measured.client_height()));
    measure();
    let on_resize = Closure::<dyn FnMut()>::new(measure);
    if let Ok(observer) = ResizeObserver::new(on_resize.as_ref().unchecked_ref()) {
        observer.observe(element);
        // The closure must live as long as the observer may call it.
        let observed = StoredValue::new_local((observer, on_resize));
        on_cleanup(move || observed.with_value(|(observer, _)| observer.disconnect()));
    }
}
