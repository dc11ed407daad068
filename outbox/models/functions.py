from django.db.models import DateTimeField, Func


class ClockTimestamp(Func):
    """The database's clock at this very row. `now()` would tie for a whole transaction."""

    function = "clock_timestamp"
    template = "%(function)s()"
    output_field = DateTimeField()
