"use strict";

/* Copies what stands in the element that a [data-copy] button names. Without this script the buttons stay hidden, and
   the text can be selected. */

(() => {
    const said = document.querySelector("[data-copied]");

    const select = (element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        const selection = window.getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
    };

    const copy = async (element) => {
        select(element);
        try {
            await navigator.clipboard.writeText(element.textContent);
            return "Copied.";
        } catch {
            /* Not over plain HTTP, or not allowed: the text is selected. */
            return "Selected: copy it with the keyboard.";
        }
    };

    for (const button of document.querySelectorAll("button[data-copy]")) {
        const element = document.getElementById(button.dataset.copy);
        if (!element) {
            continue;
        }
        button.hidden = false;
        button.setAttribute("aria-describedby", element.getAttribute("aria-labelledby") || "");
        button.addEventListener("click", async () => {
            const result = await copy(element);
            if (said) {
                said.textContent = result;
            }
        });
    }
})();
