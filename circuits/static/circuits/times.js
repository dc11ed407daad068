"use strict";

/* Shows the times of a page in the viewer's zone. They come in the server's, which a reader far away would have to
   convert. What is typed is in that zone as well, if the form has an input[data-zone-name] to say so. Who puts more of them into the page tells it by an event, "console:fresh". */

(() => {
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

    const localise = (root) => {
        for (const element of root.querySelectorAll("time[data-clock]")) {
            element.textContent = written(element, new Date(element.dateTime));
        }
        for (const element of root.querySelectorAll("[data-clock-at]")) {
            element.textContent = element.textContent.replace(/^\d\d:\d\d/, clock(new Date(element.dataset.clockAt)));
        }
        const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
        for (const element of root.querySelectorAll("[data-zone]")) {
            element.textContent = zone || element.textContent;
        }
        for (const element of root.querySelectorAll("input[data-zone-name]")) {
            element.value = zone || element.value;
        }
    };

    document.addEventListener("console:fresh", (event) => localise(event.target));
    localise(document);
})();
