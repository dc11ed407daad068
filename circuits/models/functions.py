from django.db.models import DateTimeField, Func


class ClockTimestamp(Func):
    """The database's clock at this very row."""

    function = "clock_timestamp"
    template = "%(function)s()"
    output_field = DateTimeField()
