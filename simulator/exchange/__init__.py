"""The exchange and the broker's back office: accounts, orders, matching, positions, margins and the ledger."""
