"""tap-klaviyo without Klaviyo's quotas, so that its own speed can be measured; everything else is the plugin's.

The tap keeps to the documented quotas by itself (75 pages of profiles a second, 750 a minute) and offers no setting to
exceed them. Its arguments are passed on.
"""

from klaviyo_http import limiter
from klaviyo_http.endpoints import Quota
from tap_klaviyo.tap import main

BOUNDLESS = Quota(burst=10**9, steady=10**9)

if __name__ == "__main__":
    limiter.QUOTAS = dict.fromkeys(limiter.QUOTAS, BOUNDLESS)
    main()
