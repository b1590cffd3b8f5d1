"""The settings of all parts, as the daemon takes them. It must never load what reads a configuration."""

import msgspec

from pfwatch.alerting.settings import AlertSettings, MailSettings
from pfwatch.detection.settings import DetectionSettings
from pfwatch.sources.settings import SourceSettings
from pfwatch.store.settings import StoreSettings
from pfwatch.web.settings import WebSettings


class DaemonSettings(msgspec.Struct, frozen=True):
    """The settings of all parts; `pfwatch.config.Settings` has the same fields."""

    source: SourceSettings = SourceSettings()
    store: StoreSettings = StoreSettings()
    web: WebSettings = WebSettings()
    detection: DetectionSettings = msgspec.field(default_factory=DetectionSettings)
    alerts: AlertSettings = AlertSettings()
    mail: MailSettings = MailSettings()
    dovecot: bool = False
