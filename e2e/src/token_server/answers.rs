use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::grants::Grant;

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

fn as_json(status: StatusCode, body: &Value) -> Response {
    answer(status, "application/json", body.to_string())
}

/// AWS's Security Token Service.
pub(super) mod sts {
    use super::{Grant, Response, StatusCode, answer};

    pub(crate) fn given(grant: &Grant) -> Response {
        let Grant { token, .. } = grant;
        let body = format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{token}</AccessKeyId>\
             <SecretAccessKey>{token}-secret</SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>{}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
             </AssumeRoleWithWebIdentityResponse>",
            grant.end()
        );
        answer(StatusCode::OK, "text/xml", body)
    }

    pub(crate) fn refusal(code: &str, message: &str) -> Response {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        );
        answer(StatusCode::FORBIDDEN, "text/xml", body)
    }
}

/// OAuth 2, as Entra and Google's Security Token Service have it.
pub(super) mod oauth {
    use super::{Grant, Response, StatusCode, as_json, json};

    pub(crate) fn given(grant: &Grant) -> Response {
        let body = json!({"access_token": grant.token, "expires_in": grant.said.as_secs(), "token_type": "Bearer"});
        as_json(StatusCode::OK, &body)
    }

    pub(crate) fn refusal(error: &str, description: &str) -> Response {
        as_json(StatusCode::BAD_REQUEST, &json!({"error": error, "error_description": description}))
    }
}

/// Google's other APIs.
pub(super) mod google {
    use super::{Grant, Response, StatusCode, as_json, json};

    pub(crate) fn given(grant: &Grant) -> Response {
        as_json(StatusCode::OK, &json!({"accessToken": grant.token, "expireTime": grant.end().to_string()}))
    }

    pub(crate) fn refusal(status: StatusCode, message: &str) -> Response {
        as_json(status, &json!({"error": {"code": status.as_u16(), "message": message}}))
    }
}
