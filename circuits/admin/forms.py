"""What staff may write, refused before the database has to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from circuits import conf, policy
from circuits.console import times
from circuits.errors import InvalidName, InvalidThreshold
from circuits.models import TenantCircuit
from circuits.names import checked_key
from circuits.policy import BOUNDS, MODE_HELP, THRESHOLDS, WHOLE_NUMBERS, Mode

if TYPE_CHECKING:
    CircuitModelForm = forms.ModelForm[TenantCircuit]
else:
    CircuitModelForm = forms.ModelForm

DEFAULT = "default"
_OTHER_NAME = {"tenant_id": "name", "name": "tenant_id"}


class ThresholdForm(CircuitModelForm):
    """Thresholds of one circuit, each by itself and together with the others and the defaults."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        defaults = conf.policy()
        for name in THRESHOLDS:
            if name in self.fields:
                self.fields[name].widget.attrs["placeholder"] = str(getattr(defaults, name))

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        for field in ("tenant_id", "name"):
            if values.get(field):
                self._check_name(field, values[field])
        thresholds = {name: values.get(name, getattr(self.instance, name)) for name in THRESHOLDS}
        try:
            policy.check(conf.policy(), {name: v for name, v in thresholds.items() if name not in self.errors})
        except InvalidThreshold as error:
            self.add_error(error.field if error.field in self.fields else None, f"{error.field} {error.reason}.")
        return values

    def _check_name(self, field: str, value: str) -> None:
        try:
            checked_key(**{field: value, _OTHER_NAME[field]: "other"})
        except InvalidName as error:
            self.add_error(field, str(error))


class CircuitForm(ThresholdForm):
    """The same on the page of one circuit, where there is room to say why."""

    reason = forms.CharField(
        max_length=1_000,
        help_text="Why thresholds change; stands in the history with who did it.",
        error_messages={"required": "Say why, for whoever looks at the circuit next."},
    )


class DecisionForm(forms.Form):
    """Why staff take a circuit into their own hands."""

    reason = forms.CharField(max_length=1_000, help_text="Stands in the history, with who did it.")


class ForceForm(DecisionForm):
    """And for how long."""

    until = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=f"Automatic again from then on. {times.SERVERS} Empty: until somebody decides otherwise.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["until"].label = f"Until ({times.zone()})"

    def clean_until(self) -> Any:
        until = self.cleaned_data["until"]
        if until is not None and until <= timezone.now():
            raise ValidationError("Must lie in the future.")
        return until


class BulkForm(DecisionForm):
    """Thresholds for several circuits: what is left empty stays as each of them has it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in THRESHOLDS:
            text = MODE_HELP if name == "mode" else BOUNDS[name].help
            self.fields[name] = forms.CharField(required=False, label=name.replace("_", " "), help_text=text)
            self.fields[name].widget.attrs["placeholder"] = "unchanged"

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        for name in THRESHOLDS:
            if values.get(name):
                self._read(name, values[name])
        if not self.errors and not self.changes():
            raise ValidationError("Nothing would change: fill in at least one threshold.")
        return values

    def changes(self) -> dict[str, Any]:
        """What to set; None goes back to the default."""
        given = {name: self.cleaned_data.get(name) for name in THRESHOLDS}
        return {name: None if value == DEFAULT else value for name, value in given.items() if value not in ("", None)}

    def _read(self, name: str, text: str) -> None:
        if text == DEFAULT or (name == "mode" and text in list(Mode)):
            return
        try:
            value = int(text) if name in WHOLE_NUMBERS else float(text)
            if problem := BOUNDS[name].problem(value):
                self.add_error(name, f"{name} {problem}.")
            self.cleaned_data[name] = value
        except (KeyError, ValueError):
            self.add_error(name, f"Neither a value nor the word {DEFAULT}.")
