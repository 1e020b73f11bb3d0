"""What HTTP clients of tests are opened with: nothing here uses TLS, and loading authorities takes a while."""

import ssl

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
