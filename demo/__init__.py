"""The page: everything a visitor meets. Imports stm_core; stm_core never imports this package."""
