"""Where options come from. Every source yields `RawOption`s and knows neither precedence nor types."""
