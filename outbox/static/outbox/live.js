"use strict";

/* Refreshes the figures of a page, and shows its times in the viewer's zone.

   A region is <div data-live="where to fetch it" data-every="seconds">, with its figures in [data-live-content], what
   is said about refreshing in [data-live-state], and the choice of the rhythm in [data-live-every]. Without this
   script its link to refresh remains. */

(() => {
    const REMEMBERED = "outbox.console.every";
    const PATIENCE = 20_000;
    const LONGEST_PAUSE = 300;
    const SAID_EVERY = 60_000;

    const two = (number) => String(number).padStart(2, "0");
    const clock = (at) => `${two(at.getHours())}:${two(at.getMinutes())}`;
    const fullClock = (at) => `${clock(at)}:${two(at.getSeconds())}`;
    const day = (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;

    const written = (element, at) => {
        if (element.dataset.clock === "minute") {
            return clock(at);
        }
        return day(at) === day(new Date()) ? fullClock(at) : `${day(at)} ${fullClock(at)}`;
    };

    /* Times come in the server's zone, which a reader far away would have to convert. */
    const localise = (root) => {
        for (const element of root.querySelectorAll("time[data-clock]")) {
            element.textContent = written(element, new Date(element.dateTime));
        }
        for (const element of root.querySelectorAll("[data-clock-at]")) {
            element.textContent = element.textContent.replace(/^\d\d:\d\d/, clock(new Date(element.dataset.clockAt)));
        }
        for (const element of root.querySelectorAll("[data-zone]")) {
            element.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone || element.textContent;
        }
    };

    const remembered = () => {
        try {
            return localStorage.getItem(REMEMBERED);
        } catch {
            return null;
        }
    };

    const remember = (value) => {
        try {
            localStorage.setItem(REMEMBERED, value);
        } catch {
            /* A browser that keeps nothing: the choice holds for this page. */
        }
    };

    class Region {
        constructor(element) {
            this.element = element;
            this.content = element.querySelector("[data-live-content]");
            this.state = element.querySelector("[data-live-state]");
            this.choice = element.querySelector("[data-live-every]");
            this.failures = 0;
            this.over = false;
            this.last = Date.now(); // when the figures that are shown came
            this.tried = Date.now();
            this.saidAt = Date.now();
            this.timer = null;
            this.request = null;
            this.choose();
        }

        choose() {
            const kept = remembered();
            if ([...this.choice.options].some((option) => option.value === kept)) {
                this.choice.value = kept;
            }
            this.choice.closest("label").hidden = false;
            this.choice.addEventListener("change", () => {
                remember(this.choice.value);
                this.failures = 0;
                this.tried = Date.now();
                this.plan();
            });
            this.element.querySelector("[data-live-now]")?.addEventListener("click", (event) => {
                event.preventDefault();
                this.refresh({ asked: true });
            });
            document.addEventListener("visibilitychange", () => this.plan());
            this.plan();
        }

        get every() {
            return Number(this.choice.value);
        }

        /* Seconds until the next look: of a server in trouble less and less is asked. */
        get pause() {
            return Math.min(LONGEST_PAUSE, this.every * 2 ** this.failures);
        }

        plan() {
            clearTimeout(this.timer);
            if (this.over) {
                return;
            }
            if (!this.every) {
                if (!this.failures) {
                    this.say("Refresh is off.");
                }
            } else if (!document.hidden) {
                const left = this.tried + this.pause * 1_000 - Date.now();
                this.timer = setTimeout(() => this.turn(), Math.max(250, left));
                this.describe();
            }
        }

        turn() {
            const why = this.held();
            if (why) {
                this.say(`Not refreshed while ${why}.`);
                this.timer = setTimeout(() => this.turn(), 1_000);
            } else {
                this.refresh();
            }
        }

        /* What a refresh would take out of somebody's hands. */
        held() {
            if (document.querySelector("dialog[open]")) {
                return "a dialog is open";
            }
            if (this.content.querySelector("input[type=checkbox]:checked")) {
                return "rows are selected";
            }
            if (this.content.querySelector(":focus-visible")) {
                return "the keyboard is in the figures";
            }
            const selection = document.getSelection();
            if (selection && !selection.isCollapsed && this.content.contains(selection.anchorNode)) {
                return "text is selected";
            }
            return "";
        }

        async refresh({ asked = false } = {}) {
            if (this.request) {
                return;
            }
            clearTimeout(this.timer);
            this.tried = Date.now();
            this.request = new AbortController();
            const patience = setTimeout(() => this.request.abort(), PATIENCE);
            try {
                const answer = await fetch(this.element.dataset.live, {
                    cache: "no-store",
                    credentials: "same-origin",
                    redirect: "manual",
                    signal: this.request.signal,
                });
                await this.take(answer, asked);
            } catch (error) {
                this.fail(error.name === "AbortError" ? "no answer in time" : "the server cannot be reached");
            } finally {
                clearTimeout(patience);
                this.request = null;
                this.plan();
            }
        }

        async take(answer, asked) {
            if (answer.type === "opaqueredirect" || answer.status === 403 || answer.status === 404) {
                this.over = true;
                this.say("You are signed out, or may not see this any more. Load the page again.", true);
            } else if (!answer.ok) {
                this.fail(`the server answered ${answer.status}`);
            } else {
                this.show(await answer.text(), asked);
            }
        }

        show(text, asked) {
            const found = new DOMParser().parseFromString(text, "text/html").querySelector("[data-live-figures]");
            if (!found) {
                this.fail("the server answered something else");
                return;
            }
            this.failures = 0;
            if (asked || !this.held()) {
                this.last = Date.now();
                this.element.classList.remove("stale");
                this.replace(found);
            }
        }

        replace(found) {
            const open = [...this.content.querySelectorAll("details[id][open]")].map((each) => each.id);
            const scrolled = [...this.content.querySelectorAll(".scroll[id]")].map((each) => [
                each.id,
                each.scrollLeft,
                each.scrollTop,
            ]);
            const focused = this.content.contains(document.activeElement) ? document.activeElement.id : "";
            const place = window.scrollY;
            localise(found);
            this.content.replaceChildren(document.adoptNode(found));
            for (const id of open) {
                document.getElementById(id)?.setAttribute("open", "");
            }
            for (const [id, left, top] of scrolled) {
                document.getElementById(id)?.scrollTo(left, top);
            }
            if (focused) {
                document.getElementById(focused)?.focus({ preventScroll: true });
            }
            window.scrollTo(window.scrollX, place);
        }

        fail(why) {
            this.failures += 1;
            this.element.classList.add("stale");
            const again = this.every ? ` Trying again in ${this.pause} s.` : "";
            this.say(`These figures are from ${fullClock(new Date(this.last))}: ${why}.${again}`, true);
        }

        /* The state is read out when it changes: how old the figures are, once a minute at most. */
        describe() {
            if (this.failures) {
                return;
            }
            const rhythm = `Refreshed every ${this.every} s.`;
            if (this.state.dataset.rhythm !== String(this.every) || Date.now() - this.saidAt >= SAID_EVERY) {
                this.saidAt = Date.now();
                this.say(`${rhythm} As of ${fullClock(new Date(this.last))}.`);
            } else if (!this.state.textContent.startsWith("Refreshed")) {
                this.say(rhythm);
            }
            this.state.dataset.rhythm = String(this.every);
        }

        say(text, trouble = false) {
            if (this.state.textContent !== text) {
                this.state.textContent = text;
            }
            this.state.classList.toggle("trouble", trouble);
        }
    }

    localise(document);
    for (const element of document.querySelectorAll("[data-live]")) {
        new Region(element);
    }
})();
