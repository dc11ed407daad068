"use strict";

/* Refreshes the figures of a page. What is fresh is told by an event, "console:fresh".

   A region is [data-live]. Its parts are <div data-live-part="where to fetch it" data-least="seconds">, each with one
   [data-live-figures]; what is said about refreshing is in [data-live-state], the choice of the rhythm in
   [data-live-every]. Without this script the link to refresh, [data-live-now], remains. */

(() => {
    const REMEMBERED = "outbox.console.every";
    const PATIENCE = 20_000;
    const LONGEST_PAUSE = 300;
    const SAID_EVERY = 60_000;

    const two = (number) => String(number).padStart(2, "0");
    const fullClock = (at) => `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;

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

    class Trouble extends Error {}

    class Over extends Error {}

    const reason = (error) => {
        if (error instanceof Trouble) {
            return error.message;
        }
        return error.name === "AbortError" ? "no answer in time" : "the server cannot be reached";
    };

    /* What the server says instead of figures, such as that the database took too long, within a sentence. */
    const explained = (page) => {
        const said = page.querySelector("[role=alert]")?.textContent.trim().replace(/\s+/g, " ").replace(/\.$/, "") || "";
        return said.slice(0, 1).toLowerCase() + said.slice(1, 300);
    };

    /* Puts the figures into a part, and leaves open, scrolled and focused what was. */
    const replace = (part, found) => {
        const open = [...part.querySelectorAll("details[id][open]")].map((each) => each.id);
        const scrolled = [...part.querySelectorAll(".scroll[id]")].map((each) => [
            each.id,
            each.scrollLeft,
            each.scrollTop,
        ]);
        const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
        const [across, down] = [window.scrollX, window.scrollY];
        part.replaceChildren(document.adoptNode(found));
        part.dispatchEvent(new CustomEvent("console:fresh", { bubbles: true }));
        for (const id of open) {
            document.getElementById(id)?.setAttribute("open", "");
        }
        for (const [id, left, top] of scrolled) {
            document.getElementById(id)?.scrollTo(left, top);
        }
        if (focused) {
            document.getElementById(focused)?.focus({ preventScroll: true });
        }
        window.scrollTo(across, down);
    };

    class Region {
        constructor(element) {
            this.element = element;
            this.parts = [...element.querySelectorAll("[data-live-part]")].map((part) => ({
                element: part,
                least: Number(part.dataset.least || 0) * 1_000,
                came: Date.now(),
            }));
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

        inside(selector) {
            return this.parts.some((part) => part.element.querySelector(selector));
        }

        /* What a refresh would take out of somebody's hands. */
        held() {
            if (document.querySelector("dialog[open]")) {
                return "a dialog is open";
            }
            if (this.inside("input[type=checkbox]:checked")) {
                return "rows are selected";
            }
            if (this.inside(":focus-visible")) {
                return "the keyboard is in the figures";
            }
            const selection = document.getSelection();
            const selects = (part) => part.element.contains(selection.anchorNode);
            if (selection && !selection.isCollapsed && this.parts.some(selects)) {
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
                for (const part of this.parts) {
                    if (asked || this.failures || this.tried - part.came >= part.least) {
                        await this.renew(part, asked);
                    }
                }
                this.succeed();
            } catch (error) {
                this.fail(error);
            } finally {
                clearTimeout(patience);
                this.request = null;
                this.plan();
            }
        }

        async renew(part, asked) {
            const answer = await fetch(part.element.dataset.livePart, {
                cache: "no-store",
                credentials: "same-origin",
                redirect: "manual",
                signal: this.request.signal,
            });
            if (answer.type === "opaqueredirect" || answer.status === 403 || answer.status === 404) {
                throw new Over();
            }
            const page = new DOMParser().parseFromString(await answer.text(), "text/html");
            if (!answer.ok) {
                throw new Trouble(explained(page) || `the server answered ${answer.status}`);
            }
            const found = page.querySelector("[data-live-figures]");
            if (!found) {
                throw new Trouble("the server answered something else");
            }
            if (asked || !this.held()) {
                part.came = Date.now();
                replace(part.element, found);
            }
        }

        succeed() {
            this.failures = 0;
            this.last = Math.max(...this.parts.map((part) => part.came));
            this.element.classList.remove("stale");
        }

        fail(error) {
            if (error instanceof Over) {
                this.over = true;
                this.say("You are signed out, or may not see this any more. Load the page again.", true);
                return;
            }
            this.failures += 1;
            this.element.classList.add("stale");
            const again = this.every ? ` Trying again in ${this.pause} s.` : "";
            this.say(`These figures are from ${fullClock(new Date(this.last))}: ${reason(error)}.${again}`, true);
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

    for (const element of document.querySelectorAll("[data-live]")) {
        new Region(element);
    }
})();
