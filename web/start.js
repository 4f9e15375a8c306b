// What happens until the app has started: while a server changes to another version, a file of the page
// can be gone for a moment. The page is then loaded again, once; after that it says what to do.
(function () {
  "use strict";

  var RELOADED = "runnel-reloaded";
  var over = false;

  // Without a session storage the page is not reloaded, because that could go on for ever.
  function firstTime() {
    try {
      if (sessionStorage.getItem(RELOADED)) {
        return false;
      }
      sessionStorage.setItem(RELOADED, "1");
      return Boolean(sessionStorage.getItem(RELOADED));
    } catch (refused) {
      return false;
    }
  }

  function say(why) {
    if (document.readyState === "loading") {
      addEventListener("DOMContentLoaded", function () { say(why); });
      return;
    }
    var notice = document.getElementById("unloaded");
    notice.querySelector("[data-why=" + why + "]").hidden = false;
    notice.querySelector("button").onclick = function () { location.reload(); };
    notice.hidden = false;
    document.querySelectorAll("#app .slow").forEach(function (slow) { slow.remove(); });
  }

  function failed() {
    var crash = document.getElementById("crash");
    // A program that came and then failed has said so itself.
    if (over || (crash && !crash.hidden)) {
      return;
    }
    over = true;
    if (!navigator.onLine) {
      say("offline");
      addEventListener("online", function () { location.reload(); });
    } else if (firstTime()) {
      location.reload();
    } else {
      say("gone");
    }
  }

  addEventListener("TrunkApplicationStarted", function () {
    over = true;
    try {
      sessionStorage.removeItem(RELOADED);
    } catch (refused) {
      // Then nothing is kept there either.
    }
  });

  if (typeof WebAssembly !== "object" || !("noModule" in HTMLScriptElement.prototype)) {
    over = true;
    say("unsupported");
    return;
  }
  // A file that did not come, seen on its way down to the element; a program that did not start, which
  // browsers tell in one way or the other.
  addEventListener("error", failed, true);
  addEventListener("unhandledrejection", failed);
})();
