"""The service for a WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

from circuits.startup import refuse_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "somabrain.settings")

application = get_wsgi_application()
refuse_errors("outbox", "circuits", "memory")
